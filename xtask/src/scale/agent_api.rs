//! The agent's API without a program in between, whose start would be most of what is measured:
//! HTTP/1.1 over its socket, a connection for each request.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The socket of an instance.
#[derive(Clone, Debug)]
pub(crate) struct AgentApi(PathBuf);

/// A request to apply a document, as it is sent. To write it takes time that is not to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Prepared(String);

impl Prepared {
    pub(crate) fn new(topology: &Value) -> Self {
        Self(json!({ "source": topology.to_string(), "fileName": "scale" }).to_string())
    }
}

impl AgentApi {
    pub(crate) fn of(instance: &str) -> Self {
        Self(PathBuf::from(format!(
            "/run/clearway/{instance}/agent.sock"
        )))
    }

    /// Makes a topology the desired state; the generation then in force.
    pub(crate) fn apply(&self, Prepared(body): &Prepared) -> Result<u64> {
        let answer = self.ask("POST", "/v1/apply", body)?;
        let problems = answer["problems"].as_array().map_or(0, Vec::len);
        if answer["applied"] != true || problems > 0 {
            bail!("not applied: {answer}");
        }
        answer["generation"].as_u64().context("no generation")
    }

    /// The generation that all NICs have.
    pub(crate) fn generation(&self) -> Result<u64> {
        let status = self.status()?;
        status["generation"].as_u64().context("no generation")
    }

    pub(crate) fn status(&self) -> Result<Value> {
        self.ask("GET", "/v1/status", "")
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let mut stream = UnixStream::connect(&self.0)
            .with_context(|| format!("no agent at {}", self.0.display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        parse(&answer).with_context(|| format!("{method} {path}"))
    }
}

/// The body of an answer that must be a success. It ends with the connection and has its length
/// said, so it comes in one piece.
fn parse(answer: &str) -> Result<Value> {
    let (head, body) = answer.split_once("\r\n\r\n").context("a broken answer")?;
    let value = serde_json::from_str(body).with_context(|| format!("no JSON: {body}"))?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("refused: {value}");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_success_is_its_body_and_all_else_an_error() {
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}";
        assert_eq!(parse(ok).expect("a success")["a"], 1);
        let refused = "HTTP/1.1 422 Unprocessable\r\n\r\n{\"error\":{\"code\":\"X\"}}";
        let error = parse(refused).expect_err("a refusal");
        assert!(error.to_string().contains("\"X\""), "{error}");
        assert!(parse("HTTP/1.1 200 OK\r\n").is_err());
        assert!(parse("HTTP/1.1 200 OK\r\n\r\nnot json").is_err());
    }
}
