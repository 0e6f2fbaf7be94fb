//! An agent that gives prepared answers, on a Unix socket of its own.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use host::api::{ApiError, ApiErrorBody};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::run::{Ran, clearway, run};

type Answer = Box<dyn Fn(&Value) -> Reply + Send + Sync>;

/// What is answered.
pub(crate) struct Reply {
    status: StatusCode,
    body: Vec<u8>,
    then: Then,
}

/// What follows the body.
#[derive(Clone, Copy)]
enum Then {
    End,
    /// Nothing more, and no end.
    Wait,
    /// The body again and again.
    Repeat,
}

impl Reply {
    pub(crate) fn json(value: &impl Serialize) -> Self {
        Self::bytes(serde_json::to_vec(value).expect("JSON"))
    }

    pub(crate) fn bytes(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: StatusCode::OK,
            body: body.into(),
            then: Then::End,
        }
    }

    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::error_with(status, code, message, Vec::new())
    }

    pub(crate) fn error_with(
        status: u16,
        code: &str,
        message: &str,
        details: Vec<model::Diagnostic>,
    ) -> Self {
        let error = ApiErrorBody {
            code: code.to_owned(),
            message: message.to_owned(),
            details,
        };
        Self::json(&ApiError { error }).with_status(status)
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).expect("a status");
        self
    }

    pub(crate) fn without_end(mut self) -> Self {
        self.then = Then::Wait;
        self
    }

    pub(crate) fn repeated(mut self) -> Self {
        self.then = Then::Repeat;
        self
    }
}

#[derive(Default)]
struct Shared {
    answers: HashMap<String, Answer>,
    asked: Mutex<Vec<(String, Value)>>,
}

/// Answers what it was prepared for, everything else with 404.
#[derive(Default)]
pub(crate) struct Prepared {
    shared: Shared,
}

impl Prepared {
    /// Answers `METHOD PATH?QUERY` with this.
    pub(crate) fn on(
        mut self,
        request: &str,
        answer: impl Fn(&Value) -> Reply + Send + Sync + 'static,
    ) -> Self {
        self.shared
            .answers
            .insert(request.to_owned(), Box::new(answer));
        self
    }

    /// Answers with this value.
    pub(crate) fn on_json(self, request: &str, value: &impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("JSON");
        self.on(request, move |_| Reply::json(&value))
    }

    pub(crate) fn start(self) -> Agent {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("agent.sock");
        let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        listener.set_nonblocking(true).expect("non-blocking");
        let shared = Arc::new(self.shared);
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::UnixListener::from_std(listener).expect("a listener");
                tokio::select! {
                    served = axum::serve(listener, app) => served.expect("it serves"),
                    _ = stopped => {}
                }
            });
        });
        Agent {
            folder,
            socket,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

/// The agent, until it is dropped.
pub(crate) struct Agent {
    folder: tempfile::TempDir,
    socket: PathBuf,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Agent {
    /// `clearway` that asks this agent.
    pub(crate) fn clearway<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = clearway(["--socket".as_ref(), self.socket.as_os_str()]);
        command.args(args);
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        run(&mut self.clearway(args))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What it was asked, with the bodies.
    pub(crate) fn asked(&self) -> Vec<(String, Value)> {
        self.shared.asked.lock().expect("no panic").clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let asked = format!("{} {}", request.method(), request.uri());
    let body = axum::body::to_bytes(request.into_body(), usize::MAX)
        .await
        .expect("a body");
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    shared
        .asked
        .lock()
        .expect("no panic")
        .push((asked.clone(), body.clone()));
    let reply = match shared.answers.get(&asked) {
        Some(answer) => answer(&body),
        None => Reply::error(
            404,
            "NotPrepared",
            &format!("nothing is prepared for {asked}"),
        ),
    };
    let piece = Bytes::from(reply.body);
    let once = stream::iter([Ok::<_, std::io::Error>(piece.clone())]);
    let body = match reply.then {
        Then::End => Body::from_stream(once),
        Then::Wait => Body::from_stream(once.chain(stream::pending())),
        Then::Repeat => {
            let again = move || Ok::<_, std::io::Error>(piece.clone());
            Body::from_stream(stream::repeat_with(again))
        }
    };
    (reply.status, body).into_response()
}
