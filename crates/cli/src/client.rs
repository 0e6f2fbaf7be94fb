//! HTTP over the agent's socket. Each request has its own connection: the agent is on this host,
//! and a command asks once or twice.

mod route;
mod stream;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use host::Paths;
use host::api::ApiError;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

pub(crate) use route::Route;
pub(crate) use stream::Stream;

use crate::exit::{Exit, Failure};

/// How long reading something may take.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// How long changing something may take.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(120);
/// The longest answer read: a few hundred thousand flows.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// An instance's agent, seen from outside.
pub(crate) struct Client {
    paths: Paths,
}

/// What the agent answered.
pub(crate) struct Answer {
    body: Bytes,
    socket: PathBuf,
}

impl Client {
    pub(crate) fn new(paths: Paths) -> Self {
        Self { paths }
    }

    /// Where the agent's things are.
    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Reads.
    pub(crate) async fn get(&self, route: &Route) -> Result<Answer> {
        let request = request(Method::GET, route, Bytes::new())?;
        self.answer(request, READ_TIMEOUT).await
    }

    /// Changes something.
    pub(crate) async fn post(&self, route: &Route, body: &impl Serialize) -> Result<Answer> {
        let body = serde_json::to_vec(body).context("cannot encode the request")?;
        let request = request(Method::POST, route, body.into())?;
        self.answer(request, CHANGE_TIMEOUT).await
    }

    /// Reads what has no end.
    pub(crate) async fn stream(&self, route: &Route) -> Result<Stream> {
        let request = request(Method::GET, route, Bytes::new())?;
        let sent = tokio::time::timeout(READ_TIMEOUT, async {
            let response = self.send(request).await?;
            if response.status().is_success() {
                Ok(Stream::new(response.into_body()))
            } else {
                Err(self.failure(response).await)
            }
        });
        sent.await.map_err(|_| self.silent(READ_TIMEOUT))?
    }

    async fn answer(&self, request: Request<Full<Bytes>>, limit: Duration) -> Result<Answer> {
        let asked = tokio::time::timeout(limit, async {
            let response = self.send(request).await?;
            if !response.status().is_success() {
                return Err(self.failure(response).await);
            }
            let body = self.body(response).await?;
            Ok(Answer {
                body,
                socket: self.paths.socket.clone(),
            })
        });
        asked.await.map_err(|_| self.silent(limit))?
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        let stream = UnixStream::connect(&self.paths.socket)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(error))?;
        // Ends with the sender and the body; its errors are theirs too.
        tokio::spawn(connection);
        sender
            .send_request(request)
            .await
            .map_err(|error| self.broken(error))
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Bytes> {
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let body = body.map_err(|error| {
            anyhow!(
                "the agent at {} broke off its answer: {error}",
                self.socket().display()
            )
        })?;
        Ok(body.to_bytes())
    }

    async fn failure(&self, response: Response<Incoming>) -> anyhow::Error {
        let status = response.status();
        let body = match self.body(response).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        match serde_json::from_slice::<ApiError>(&body) {
            Ok(error) => Failure::answered(status.as_u16(), error).into(),
            Err(_) => {
                let start: String = String::from_utf8_lossy(&body).chars().take(200).collect();
                anyhow!(
                    "the agent at {} answered {status} and no error of this API: `{}`; \
                     is it of another version?",
                    self.socket().display(),
                    start.trim()
                )
            }
        }
    }

    fn unreachable(&self, error: &std::io::Error) -> anyhow::Error {
        let socket = self.socket().display();
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Failure::new(
                Exit::NoAgent,
                "NoAgent",
                format!(
                    "no agent answers at {socket}; start one with `{}`",
                    self.up_command()
                ),
            )
            .into(),
            ErrorKind::PermissionDenied => {
                anyhow!("may not open {socket}: {error}; run this as root, or with sudo")
            }
            _ => anyhow!("cannot reach the agent at {socket}: {error}"),
        }
    }

    fn up_command(&self) -> String {
        if self.paths.instance == host::DEFAULT_INSTANCE {
            "clearway up TOPOLOGY.yaml".to_owned()
        } else {
            format!(
                "clearway up TOPOLOGY.yaml --instance {}",
                self.paths.instance
            )
        }
    }

    fn broken(&self, error: hyper::Error) -> anyhow::Error {
        let context = format!("the agent at {} broke off", self.socket().display());
        anyhow::Error::new(error).context(context)
    }

    fn silent(&self, limit: Duration) -> anyhow::Error {
        anyhow!(
            "the agent at {} has not answered for {} s; its log is {}",
            self.socket().display(),
            limit.as_secs(),
            self.paths.log.display()
        )
    }

    fn socket(&self) -> &Path {
        &self.paths.socket
    }
}

impl Answer {
    /// The answer as this program knows it.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).with_context(|| {
            format!(
                "cannot read the answer of the agent at {}",
                self.socket.display()
            )
        })
    }

    /// The answer as the agent gave it, with what this program may not know.
    pub(crate) fn raw(&self) -> Result<serde_json::Value> {
        self.read()
    }
}

fn request(method: Method, route: &Route, body: Bytes) -> Result<Request<Full<Bytes>>> {
    Request::builder()
        .method(method)
        .uri(route.as_str())
        .header("host", "clearway")
        .header("content-type", "application/json")
        .body(Full::new(body))
        .context("cannot make a request")
}
