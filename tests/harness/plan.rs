//! What a script means on the wire: bytes, and what happens between them. Sockets send it, memory
//! reads it, so that a fault is the same in both.

use std::time::Duration;

use crate::http::{write_chunk, write_head};
use crate::message::Headers;
use crate::script::{Act, End, Gate, Piece, Reply, ReplyBody};

/// One thing that an upstream does on a connection.
#[derive(Clone, Debug)]
pub enum Step {
    /// Send bytes.
    Send(Vec<u8>),
    /// Wait until the test opens the gate; close, if it never does.
    Wait(Gate),
    /// Wait so long, or until the other side goes away.
    Pause(Duration),
    /// Wait until the other side goes away.
    WaitUntilGone,
    /// Send these bytes again and again until the other side goes away.
    RepeatUntilGone(Vec<u8>),
    /// Send back every frame of WebSocket until one closes, then close.
    EchoFrames,
    /// End the connection; no other step follows.
    End(End),
}

/// The steps about one request; without an end among them the connection goes on.
pub fn steps(act: &Act, is_head: bool) -> Vec<Step> {
    match act {
        Act::Answer(reply) => answer(reply, is_head),
        Act::Close => vec![Step::End(End::Close)],
        Act::Reset => vec![Step::End(End::Reset)],
        Act::Silence => vec![Step::WaitUntilGone],
        Act::Garbage(bytes) => vec![Step::Send(bytes.clone()), Step::End(End::Close)],
        Act::Late(by, act) => {
            let then = steps(act, is_head);
            std::iter::once(Step::Pause(*by)).chain(then).collect()
        }
    }
}

fn answer(reply: &Reply, is_head: bool) -> Vec<Step> {
    let interim = reply.interim.iter().map(|(status, headers)| head(*status, headers));
    let mut steps: Vec<Step> = interim.collect();
    let mut headers = reply.headers.clone();
    match &reply.body {
        ReplyBody::None
        | ReplyBody::UntilClose(_)
        | ReplyBody::Raw(_)
        | ReplyBody::EchoedFrames => {}
        ReplyBody::Whole(body) => headers.push("Content-Length", body.len().to_string()),
        ReplyBody::Pieces(_) => headers.push("Transfer-Encoding", "chunked"),
    }
    steps.push(head(reply.status, &headers));
    if !is_head {
        steps.extend(body(&reply.body));
    }
    if reply.closing {
        steps.push(Step::End(End::Close));
    }
    if let Some(broken_off) = reply.broken_off {
        steps = broken_off_after(steps, broken_off);
    }
    match reply.drip {
        Some(each) => drip(steps, each),
        None => steps,
    }
}

fn head(status: u16, headers: &Headers) -> Step {
    let mut bytes = Vec::new();
    let start = format!("HTTP/1.1 {status} Scripted");
    write_head(&mut bytes, start.as_bytes(), headers).expect("memory takes all bytes");
    Step::Send(bytes)
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut framed = Vec::new();
    write_chunk(&mut framed, bytes).expect("memory takes all bytes");
    framed
}

fn body(body: &ReplyBody) -> Vec<Step> {
    match body {
        ReplyBody::None => Vec::new(),
        ReplyBody::EchoedFrames => vec![Step::EchoFrames],
        ReplyBody::Whole(bytes) | ReplyBody::Raw(bytes) => vec![Step::Send(bytes.clone())],
        ReplyBody::UntilClose(bytes) => vec![Step::Send(bytes.clone()), Step::End(End::Close)],
        ReplyBody::Pieces(pieces) => {
            let end = Step::Send(chunk(b""));
            pieces.iter().map(step).chain([end]).collect()
        }
    }
}

fn step(piece: &Piece) -> Step {
    match piece {
        Piece::Send(bytes) => Step::Send(chunk(bytes)),
        Piece::Raw(bytes) => Step::Send(bytes.clone()),
        Piece::Wait(gate) => Step::Wait(gate.clone()),
        Piece::Pause(duration) => Step::Pause(*duration),
        Piece::WaitUntilGone => Step::WaitUntilGone,
        Piece::RepeatUntilGone(bytes) => Step::RepeatUntilGone(chunk(bytes)),
        Piece::Cut => Step::End(End::Close),
        Piece::Reset => Step::End(End::Reset),
    }
}

/// The same steps, ended after so many bytes; they must be as many.
fn broken_off_after(steps: Vec<Step>, (bytes, end): (usize, End)) -> Vec<Step> {
    let mut left = bytes;
    let mut kept = Vec::new();
    for step in steps {
        match step {
            Step::Send(mut sent) if sent.len() >= left => {
                sent.truncate(left);
                kept.extend([Step::Send(sent), Step::End(end)]);
                return kept;
            }
            Step::Send(ref sent) => left -= sent.len(),
            Step::RepeatUntilGone(_) | Step::EchoFrames | Step::End(_) => break,
            Step::Wait(_) | Step::Pause(_) | Step::WaitUntilGone => {}
        }
        kept.push(step);
    }
    panic!("a response that is shorter than {bytes} bytes cannot be broken off there");
}

/// The same steps, each byte by itself.
fn drip(steps: Vec<Step>, each: Duration) -> Vec<Step> {
    let slow = |step: Step| match &step {
        Step::Send(bytes) => {
            let one = |byte: &u8| [Step::Pause(each), Step::Send(vec![*byte])];
            bytes.iter().flat_map(one).collect()
        }
        Step::Wait(_)
        | Step::Pause(_)
        | Step::WaitUntilGone
        | Step::RepeatUntilGone(_)
        | Step::EchoFrames
        | Step::End(_) => vec![step],
    };
    steps.into_iter().flat_map(slow).collect()
}
