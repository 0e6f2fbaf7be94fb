//! The HTTP side of the API.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Json, Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::StreamExt;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::agent::Agent;
use crate::api::{
    ApplyRequest, ApplyResult, AttachRequest, DropRow, ExplainRequest, FlowList, GuestView,
    NicDetail, NicStats, NicSummary, Status, VfRequest, VfState,
};
use crate::error::RequestError;
use crate::packet_text;
use crate::views::FLOWS_LISTED_MAX;

/// Bytes of a request: the largest topology document, escaped as JSON text.
const BODY_MAX: usize = 40 << 20;

type Shared = State<Arc<Agent>>;
type Answer<T> = Result<Json<T>, RequestError>;

pub(crate) fn router(agent: Arc<Agent>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/apply", post(apply))
        .route("/v1/nics", get(nics))
        .route("/v1/nics/{guest}/{nic}", get(nic))
        .route("/v1/nics/{guest}/{nic}/stats", get(stats))
        .route("/v1/nics/{guest}/{nic}/flows", get(flows))
        .route("/v1/nics/{guest}/{nic}/vf", post(vf))
        .route("/v1/nics/{guest}/{nic}/capture", get(capture))
        .route("/v1/explain", post(explain))
        .route("/v1/drops", get(drops))
        .route("/v1/drops/follow", get(follow_drops))
        .route("/v1/guests/{guest}", get(guest))
        .route("/v1/guests/{guest}/attach", post(attach))
        .route("/v1/down", post(down))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(agent)
}

async fn unknown() -> RequestError {
    RequestError::UnknownPath
}

async fn status(State(agent): Shared) -> Answer<Status> {
    agent.status().await.map(Json)
}

async fn apply(State(agent): Shared, Json(request): Json<ApplyRequest>) -> Answer<ApplyResult> {
    to_its_end(async move { agent.apply(&request).await })
        .await
        .map(Json)
}

async fn nics(State(agent): Shared) -> Answer<Vec<NicSummary>> {
    agent.nic_list().await.map(Json)
}

async fn nic(
    State(agent): Shared,
    Path((guest, nic)): Path<(String, String)>,
) -> Answer<NicDetail> {
    agent.nic_detail(&guest, &nic).await.map(Json)
}

async fn stats(
    State(agent): Shared,
    Path((guest, nic)): Path<(String, String)>,
) -> Answer<NicStats> {
    agent.nic_stats(&guest, &nic).await.map(Json)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FlowsParameters {
    #[serde(default)]
    not_offloaded: bool,
    limit: Option<usize>,
}

async fn flows(
    State(agent): Shared,
    Path((guest, nic)): Path<(String, String)>,
    Query(parameters): Query<FlowsParameters>,
) -> Answer<FlowList> {
    let limit = parameters.limit.unwrap_or(FLOWS_LISTED_MAX);
    agent
        .nic_flows(&guest, &nic, parameters.not_offloaded, limit)
        .await
        .map(Json)
}

async fn vf(
    State(agent): Shared,
    Path((guest, nic)): Path<(String, String)>,
    Json(request): Json<VfRequest>,
) -> Answer<VfState> {
    let name = agent.state.lock().await.find_nic(&guest, &nic)?;
    to_its_end(async move { agent.set_vf(&name, &request).await })
        .await
        .map(Json)
}

async fn explain(
    State(agent): Shared,
    Json(request): Json<ExplainRequest>,
) -> Answer<vswitch::Explanation> {
    let port = {
        let state = agent.state.lock().await;
        let name = state.find_nic_named(&request.nic)?;
        let port = state.port(&name)?;
        if request.off_uplink {
            port.from_uplink()
        } else {
            port
        }
    };
    let probe = packet_text::parse(&request.packet, port)
        .map_err(|error| RequestError::Invalid(error.to_string()))?;
    let explained = agent.plane.call(move |plane| plane.explain(&probe)).await?;
    explained
        .map(Json)
        .ok_or(RequestError::NicNotFound(request.nic))
}

async fn drops(State(agent): Shared) -> Answer<Vec<DropRow>> {
    agent.drop_rows().await.map(Json)
}

async fn follow_drops(State(agent): Shared) -> Result<Response, RequestError> {
    let mut frames = agent.watch_drops(None).await?;
    let (lines, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(64);
    tokio::spawn(async move {
        loop {
            let frame = tokio::select! {
                () = lines.closed() => break,
                frame = frames.recv() => frame,
            };
            let Some(frame) = frame else { break };
            let Ok(event) = agent.drop_event(&frame).await else {
                break;
            };
            let Ok(mut line) = serde_json::to_vec(&event) else {
                break;
            };
            line.push(b'\n');
            if lines.send(Ok(line.into())).await.is_err() {
                break;
            }
        }
        drop(frames);
        agent.unwatch_drops().await;
    });
    Ok((
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        streamed(receiver),
    )
        .into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CaptureParameters {
    #[serde(default)]
    drops_only: bool,
}

async fn capture(
    State(agent): Shared,
    Path((guest, nic)): Path<(String, String)>,
    Query(parameters): Query<CaptureParameters>,
) -> Result<Response, RequestError> {
    let name = agent.state.lock().await.find_nic(&guest, &nic)?;
    let pieces = if parameters.drops_only {
        agent.capture_drops(&name).await?
    } else {
        agent.capture(&name).await?
    };
    Ok((
        [(header::CONTENT_TYPE, "application/vnd.tcpdump.pcap")],
        streamed(pieces),
    )
        .into_response())
}

async fn guest(State(agent): Shared, Path(guest): Path<String>) -> Answer<GuestView> {
    agent.guest_view(&guest).await.map(Json)
}

async fn attach(
    State(agent): Shared,
    Path(guest): Path<String>,
    Json(request): Json<AttachRequest>,
) -> Answer<GuestView> {
    let path = match (request.netns, request.pid) {
        (Some(path), None) => path.into(),
        (None, Some(pid)) => format!("/proc/{pid}/ns/net").into(),
        _ => {
            let either = "exactly one of netns and pid says which namespace";
            return Err(RequestError::Invalid(either.to_owned()));
        }
    };
    let problems = {
        let (agent, guest) = (Arc::clone(&agent), guest.clone());
        to_its_end(async move { agent.attach(&guest, path).await }).await?
    };
    let prefix = format!("{guest}/");
    if let Some(problem) = problems.iter().find(|problem| problem.contains(&prefix)) {
        return Err(RequestError::Conflict(problem.clone()));
    }
    agent.guest_view(&guest).await.map(Json)
}

async fn down(State(agent): Shared) -> Answer<Status> {
    let status = agent.status().await?;
    to_its_end(async move {
        agent.remove_everything().await?;
        agent.down.notify_one();
        Ok(())
    })
    .await?;
    Ok(Json(status))
}

/// A change is made wholly, also when the client who asked for it does not wait for the answer.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, RequestError>> + Send + 'static,
) -> Result<T, RequestError> {
    let done = tokio::spawn(change).await;
    done.map_err(|error| RequestError::Failed(anyhow::Error::from(error)))?
}

fn streamed<B: Into<Bytes> + Send + 'static>(
    receiver: mpsc::Receiver<Result<B, std::io::Error>>,
) -> Body {
    let pieces = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    Body::from_stream(pieces.map(|piece| piece.map(Into::into)))
}
