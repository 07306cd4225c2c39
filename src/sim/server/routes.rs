//! Paths to the core: the three stream roads, the order socket, REST.

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use tokio::sync::{mpsc, oneshot};

use super::calls::{Answer, Call, Reply};
use super::clients::{Form, Opened, Role, STREAMS_MAX};
use super::params::Params;
use super::refusal::{NO_SUCH_PATH, Refusal, UNKNOWN};
use super::{Request, socket};
use crate::event::Feed;
use crate::venue::binance::{API_KEY_HEADER, UsedCounts, path};

/// Longest body of a request: ten times the longest order.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Longest message a client may send: a subscription to [`STREAMS_MAX`] streams has about 40 kB.
const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// What may wait in a websocket's own buffer beside its queue.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

type Requests = mpsc::Sender<Request>;

pub(super) fn router(requests: Requests) -> Router {
    Router::new()
        .route("/public/stream", get(public_combined))
        .route("/public/ws", get(public_raw))
        .route("/public/ws/{*streams}", get(public_raw))
        .route("/market/stream", get(market_combined))
        .route("/market/ws", get(market_raw))
        .route("/market/ws/{*streams}", get(market_raw))
        // The roads before the split: the order book alone still comes this way.
        .route("/stream", get(public_combined))
        .route("/ws", get(public_raw))
        .route("/ws/{*streams}", get(public_raw))
        .route("/private/ws", get(user))
        .route("/private/stream", get(user))
        .route("/private/ws/{listen_key}", get(user))
        .route(path::WS_API, get(api))
        .route("/sim/clock", get(rest))
        .route("/sim/audit", get(rest))
        .route("/fapi/{*path}", any(rest))
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(requests)
}

async fn public_combined(state: State<Requests>, uri: Uri, upgrade: WebSocketUpgrade) -> Response {
    streams(state.0, Feed::Public, Form::Combined, query_streams(&uri), upgrade).await
}

async fn market_combined(state: State<Requests>, uri: Uri, upgrade: WebSocketUpgrade) -> Response {
    streams(state.0, Feed::Market, Form::Combined, query_streams(&uri), upgrade).await
}

async fn public_raw(
    state: State<Requests>,
    path: Option<Path<String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    streams(state.0, Feed::Public, Form::Raw, path_streams(path), upgrade).await
}

async fn market_raw(
    state: State<Requests>,
    path: Option<Path<String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    streams(state.0, Feed::Market, Form::Raw, path_streams(path), upgrade).await
}

/// `?streams=a/b`
fn query_streams(uri: &Uri) -> Result<Vec<String>, Refusal> {
    let params = Params::of_query(uri.query().unwrap_or_default(), "")?;
    Ok(split(params.get("streams").unwrap_or_default()))
}

/// `/ws/a/b`
fn path_streams(path: Option<Path<String>>) -> Result<Vec<String>, Refusal> {
    Ok(split(&path.map(|path| path.0).unwrap_or_default()))
}

fn split(streams: &str) -> Vec<String> {
    streams.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

async fn streams(
    requests: Requests,
    road: Feed,
    form: Form,
    names: Result<Vec<String>, Refusal>,
    upgrade: WebSocketUpgrade,
) -> Response {
    match names {
        Ok(names) if names.len() <= STREAMS_MAX => {
            open(requests, Role::Market { road, form }, names, upgrade).await
        }
        Ok(_) => refused(&Refusal::bad("streams", "at most 1024 a connection")),
        Err(refusal) => refused(&refusal),
    }
}

async fn user(
    state: State<Requests>,
    path: Option<Path<String>>,
    uri: Uri,
    upgrade: WebSocketUpgrade,
) -> Response {
    let listen_key = match (path, Params::of_query(uri.query().unwrap_or_default(), "")) {
        (Some(path), _) => path.0,
        (None, Ok(params)) => params.get("listenKey").unwrap_or_default().to_owned(),
        (None, Err(refusal)) => return refused(&refusal),
    };
    open(state.0, Role::User { listen_key }, Vec::new(), upgrade).await
}

async fn api(state: State<Requests>, upgrade: WebSocketUpgrade) -> Response {
    open(state.0, Role::Api, Vec::new(), upgrade).await
}

/// Registers the client, then upgrades: what is sent to it meanwhile waits in its queue.
async fn open(requests: Requests, role: Role, streams: Vec<String>, upgrade: WebSocketUpgrade) -> Response {
    let (reply, opened) = oneshot::channel::<Result<Opened, Refusal>>();
    let request = Request::Open { role: role.clone(), streams, reply };
    if requests.send(request).await.is_err() {
        return ended();
    }
    match opened.await {
        Ok(Ok(opened)) => upgrade
            .max_message_size(MESSAGE_BYTES_MAX)
            .max_frame_size(MESSAGE_BYTES_MAX)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .on_upgrade(move |socket| socket::serve(socket, role, opened, requests)),
        Ok(Err(refusal)) => refused(&refusal),
        Err(_) => ended(),
    }
}

async fn rest(state: State<Requests>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let api_key = headers.get(API_KEY_HEADER).and_then(|key| key.to_str().ok()).unwrap_or_default();
    let Ok(form) = std::str::from_utf8(&body) else {
        return refused(&Refusal::bad("body", "UTF-8"));
    };
    let params = match Params::of_query(uri.query().unwrap_or_default(), form) {
        Ok(params) => params,
        Err(refusal) => return refused(&refusal),
    };
    let (sender, answer) = oneshot::channel::<(Answer, UsedCounts)>();
    let call = Call {
        name: format!("{method} {}", uri.path()),
        params,
        api_key: api_key.to_owned(),
        reply: Reply::Http(sender),
    };
    if state.0.send(Request::Call(call)).await.is_err() {
        return ended();
    }
    match answer.await {
        Ok((answer, used)) => counted(answer, used),
        Err(_) => ended(),
    }
}

/// An answer, and how much of the limits is used.
fn counted(answer: Answer, used: UsedCounts) -> Response {
    let mut response = match answer {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(refusal) => refused(&refusal),
    };
    for (name, count) in [
        (UsedCounts::WEIGHT_1M_HEADER, used.weight_1m),
        (UsedCounts::ORDERS_10S_HEADER, used.orders_10s),
        (UsedCounts::ORDERS_1M_HEADER, used.orders_1m),
    ] {
        if let (Some(count), Ok(name)) = (count, HeaderName::from_bytes(name.as_bytes())) {
            response.headers_mut().insert(name, count.into());
        }
    }
    response
}

async fn nothing_here(method: Method, uri: Uri) -> Response {
    refused(&Refusal::new(NO_SUCH_PATH, format!("Path {}, Method {method} is invalid", uri.path())))
}

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let body = serde_json::json!({ "code": refusal.code, "msg": refusal.message }).to_string();
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Some(retry) = refusal.retry {
        response.headers_mut().insert(header::RETRY_AFTER, retry.after_s().into());
    }
    response
}

/// The core is gone while its sockets still are there.
fn ended() -> Response {
    refused(&Refusal::new(UNKNOWN, "The venue is closing."))
}
