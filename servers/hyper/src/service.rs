//! The service that hyper calls: judges the head, takes the body, answers from the catalogue.
//!
//! hyper has parsed and framed the request before. What it lets through and the other modes refuse
//! is refused here as far as it can still be seen: Host, target, method, length, expectation.

use crate::content::Content;
use crate::vitals::Vitals;
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName,
    HeaderValue, SERVER, TRANSFER_ENCODING,
};
use hyper::service::Service;
use hyper::{Request, Response, StatusCode, Uri, Version};
use server_http::catalogue::{self, Answer, Content as Kind, Message, Method, PLAINTEXT};
use server_http::{Limits, Reason, Status, check_framing, is_valid_host};
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The routes of HTTP/1.1 on one connection.
#[derive(Debug)]
pub(crate) struct Routes(Rc<Vitals>);

impl Routes {
    pub(crate) fn new(vitals: Rc<Vitals>) -> Self {
        Self(vitals)
    }
}

impl Service<Request<Incoming>> for Routes {
    type Response = Response<Content>;
    type Error = hyper::Error;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let limits = self.0.limits;
        let answer = judge(&request, limits).unwrap_or_else(Answer::empty);
        let mut ending = wants_close(&request).then_some(Reason::Asked);
        if answer.status.closes() {
            ending = Some(Reason::Refused);
        }
        let body = request.into_body();
        // The body comes before the answer, unless the answer ends the connection, or an
        // expectation is not met: that client may never send it, and then hyper ends the
        // connection after the answer.
        let unmet = answer.status == Status::ExpectationFailed;
        let has_body = !body.is_end_stream();
        let takes_body = has_body && !unmet && ending != Some(Reason::Refused);
        self.0.asked(ending.or_else(|| (has_body && unmet).then_some(Reason::Refused)), takes_body);
        let state = State { answer, ending, body: takes_body.then_some(body) };
        Answering { state: Some(state), store: BytesMut::new(), vitals: self.0.clone() }
    }
}

/// What a head is answered with: the rules of `server-http`, on hyper's idea of the head.
fn judge(request: &Request<Incoming>, limits: &Limits) -> Result<Answer, Status> {
    let method = Method::from_name(request.method().as_str());
    let path = path(method, request.uri()).ok_or(Status::BadRequest)?;
    let line_bytes = request.method().as_str().len() + target_bytes(request.uri()) + 10;
    if line_bytes > limits.request_line_bytes {
        return Err(Status::UriTooLong);
    }
    let http_1_0 = request.version() == Version::HTTP_10;
    let headers = request.headers();
    check_host(headers, http_1_0)?;
    let values = |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    check_framing(values(CONTENT_LENGTH), values(TRANSFER_ENCODING), http_1_0, limits)?;
    let framed = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    if method == Method::Post && http_1_0 && !framed {
        return Err(Status::BadRequest);
    }
    let met = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    let answer = catalogue::answer(method, path);
    if !http_1_0 && !answer.status.closes() && !headers.get_all(EXPECT).iter().all(met) {
        return Err(Status::ExpectationFailed);
    }
    Ok(answer)
}

/// The path of the target, where its form fits the method (RFC 9112 §3.2).
fn path(method: Method, uri: &Uri) -> Option<&str> {
    let authority = uri.authority().map(|authority| authority.as_str());
    match (uri.scheme_str(), authority, uri.path()) {
        // authority-form
        (None, Some(authority), _) if method == Method::Connect => {
            (is_valid_host(authority.as_bytes()) && uri.port_u16().is_some()).then_some(authority)
        }
        // absolute-form
        (Some("http" | "https"), Some(authority), path) if method != Method::Connect => {
            is_valid_host(authority.as_bytes()).then_some(path)
        }
        // asterisk-form
        (None, None, "*") => (method == Method::Options).then_some("*"),
        // origin-form
        (None, None, path) if method != Method::Connect => path.is_ascii().then_some(path),
        _ => None,
    }
}

fn target_bytes(uri: &Uri) -> usize {
    let before = match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => scheme.len() + 3 + authority.as_str().len(),
        (_, authority) => authority.map_or(0, |authority| authority.as_str().len()),
    };
    before + uri.path_and_query().map_or(0, |path| path.as_str().len())
}

/// RFC 9112 §3.2: one Host, valid; HTTP/1.0 may do without.
fn check_host(headers: &HeaderMap, http_1_0: bool) -> Result<(), Status> {
    let mut hosts = headers.get_all(HOST).iter();
    let valid = match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_valid_host(host.as_bytes()),
        (None, _) => http_1_0,
        (Some(_), Some(_)) => false,
    };
    if valid { Ok(()) } else { Err(Status::BadRequest) }
}

/// Whether the client asked for the connection's end (RFC 9112 §9.3).
fn wants_close(request: &Request<Incoming>) -> bool {
    let has = |wanted: &[u8]| {
        request.headers().get_all(CONNECTION).iter().any(|value| {
            let mut options = value.as_bytes().split(|byte| *byte == b',');
            options.any(|option| option.trim_ascii().eq_ignore_ascii_case(wanted))
        })
    };
    has(b"close") || (request.version() == Version::HTTP_10 && !has(b"keep-alive"))
}

/// A request on its way to a response: takes the body first, if there is one to take.
#[derive(Debug)]
pub(crate) struct Answering {
    state: Option<State>,
    /// The body of a `POST /echo`: grows with what arrives.
    store: BytesMut,
    vitals: Rc<Vitals>,
}

#[derive(Debug)]
struct State {
    answer: Answer,
    ending: Option<Reason>,
    body: Option<Incoming>,
}

impl Future for Answering {
    type Output = Result<Response<Content>, hyper::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let state = this.state.as_mut().expect("not polled after it was ready");
        if let Some(body) = &mut state.body {
            let store = (state.answer.content == Kind::Echo).then_some(&mut this.store);
            let refusal = match take(body, store, &this.vitals, context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => None,
                Poll::Ready(Err(Refused::Status(status, why))) => Some((status, why)),
                Poll::Ready(Err(Refused::Gone(error))) => return Poll::Ready(Err(error)),
            };
            if let Some((status, why)) = refusal {
                state.answer = Answer::empty(status);
                state.ending = Some(why);
            }
            this.vitals.body_ended(state.ending);
        }
        let State { answer, ending, .. } = *state;
        let stored = this.store.split().freeze();
        this.state = None;
        Poll::Ready(Ok(respond(answer, ending.is_some(), stored, &this.vitals)))
    }
}

/// Why a body is not taken to its end.
enum Refused {
    /// It is answered with a status.
    Status(Status, Reason),
    /// The client is gone: there is nobody to answer.
    Gone(hyper::Error),
}

/// Takes the body, into `store` if there is one.
fn take(
    body: &mut Incoming,
    mut store: Option<&mut BytesMut>,
    vitals: &Vitals,
    context: &mut Context<'_>,
) -> Poll<Result<(), Refused>> {
    loop {
        if vitals.body_is_late() {
            let refused = Refused::Status(Status::RequestTimeout, Reason::BodyTimeout);
            return Poll::Ready(Err(refused));
        }
        let frame = match Pin::new(&mut *body).poll_frame(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(Ok(())),
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) if is_gone(&error) => {
                return Poll::Ready(Err(Refused::Gone(error)));
            }
            Poll::Ready(Some(Err(_))) => {
                let refused = Refused::Status(Status::BadRequest, Reason::Refused);
                return Poll::Ready(Err(refused));
            }
        };
        // Trailer fields are read and dropped.
        let Ok(data) = frame.into_data() else { continue };
        if vitals.body_grew(data.len()) > vitals.limits.body_bytes as u64 {
            let refused = Refused::Status(Status::ContentTooLarge, Reason::Refused);
            return Poll::Ready(Err(refused));
        }
        if let Some(store) = &mut store {
            store.extend_from_slice(&data);
        }
    }
}

/// Whether a body failed because its connection ended, not because of what it said.
fn is_gone(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    error.is_incomplete_message()
        || error.is_closed()
        || cause.is_some_and(|cause| {
            !matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
        })
}

fn respond(answer: Answer, closes: bool, stored: Bytes, vitals: &Rc<Vitals>) -> Response<Content> {
    let whole = |bytes| Content::whole(bytes, answer.head_only, vitals.clone());
    let content = match answer.content {
        Kind::Empty | Kind::Allow(_) => whole(Bytes::new()),
        Kind::Plaintext => whole(Bytes::from_static(PLAINTEXT)),
        Kind::Json => {
            let json = serde_json::to_vec(&Message::HELLO).expect("a string serialises");
            whole(Bytes::from(json))
        }
        Kind::Bytes(length) => Content::pattern(length as usize, answer.head_only, vitals.clone()),
        Kind::Echo => whole(stored),
    };
    let mut response = Response::new(content);
    let code = StatusCode::from_u16(answer.status.code()).expect("three digits");
    *response.status_mut() = code;
    add_fields(&mut response, answer, closes);
    response
}

/// The fields that the service owes. hyper adds `connection` where it decides, `content-length`
/// and `date`, in this order, behind them.
fn add_fields(response: &mut Response<Content>, answer: Answer, closes: bool) {
    let empty = response.body().len() == 0;
    let headers = response.headers_mut();
    let mut add = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    if let Some(media_type) = answer.content.media_type() {
        add(CONTENT_TYPE, media_type);
    }
    add(SERVER, "showdown");
    if let Kind::Allow(allow) = answer.content {
        add(ALLOW, allow.value());
    }
    if closes {
        add(CONNECTION, "close");
    }
    // RFC 9110 §9.3.2: HEAD has the fields of GET. hyper leaves out a length of 0.
    if answer.head_only && empty {
        add(CONTENT_LENGTH, "0");
    }
}
