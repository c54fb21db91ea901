//! WebSocket (RFC 6455) as bytes on a stream, for both sides: the handshake and single frames.

use std::io::{self, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::http::Reader;
use crate::message::Call;
use crate::script::{Received, Reply};

/// The key of every client here; it proves nothing but that the other side read it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What is sent beside a frame by whoever must mask it: every client.
const MASK: [u8; 4] = [0x17, 0x2a, 0xf0, 0x05];

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// The whole of a text.
    Text = 1,
    /// The whole of a message of bytes.
    Binary = 2,
    /// The last frame, with a code and a reason.
    Close = 8,
    /// To be answered by [`Pong`](Self::Pong).
    Ping = 9,
    /// The answer to [`Ping`](Self::Ping).
    Pong = 10,
}

/// A frame, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub opcode: Opcode,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Who sends a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client, whose frames are masked.
    Client,
    /// The server, whose frames are not.
    Server,
}

impl Frame {
    /// A frame.
    pub fn new(opcode: Opcode, payload: impl Into<Vec<u8>>) -> Self {
        Self { opcode, payload: payload.into() }
    }

    /// The last frame, with a code.
    pub fn close(code: u16, reason: &str) -> Self {
        Self::new(Opcode::Close, [&code.to_be_bytes(), reason.as_bytes()].concat())
    }

    /// Reads the next frame; messages in several frames are none that a test sends.
    pub fn read<S: Read>(reader: &mut Reader<S>) -> io::Result<Self> {
        let start = reader.bytes(2)?;
        let opcode = match start[0] {
            0x81 => Opcode::Text,
            0x82 => Opcode::Binary,
            0x88 => Opcode::Close,
            0x89 => Opcode::Ping,
            0x8a => Opcode::Pong,
            other => return Err(io::Error::other(format!("a frame that begins with {other:#x}"))),
        };
        let length = match start[1] & 0x7f {
            126 => number(&reader.bytes(2)?),
            127 => number(&reader.bytes(8)?),
            short => usize::from(short),
        };
        let mask = if start[1] & 0x80 == 0 { vec![0; 4] } else { reader.bytes(4)? };
        let mut payload = reader.bytes(length)?;
        apply(&mask, &mut payload);
        Ok(Self { opcode, payload })
    }

    /// Writes it as this side does.
    pub fn write(&self, side: Side, stream: &mut impl Write) -> io::Result<()> {
        let masked = if side == Side::Client { 0x80 } else { 0 };
        let mut bytes = vec![0x80 | self.opcode as u8];
        match u16::try_from(self.payload.len()) {
            Ok(length @ 0..126) => bytes.push(masked | length as u8),
            Ok(length) => {
                bytes.push(masked | 126);
                bytes.extend(length.to_be_bytes());
            }
            Err(_) => {
                bytes.push(masked | 127);
                bytes.extend((self.payload.len() as u64).to_be_bytes());
            }
        }
        let mut payload = self.payload.clone();
        if side == Side::Client {
            bytes.extend(MASK);
            apply(&MASK, &mut payload);
        }
        bytes.extend(payload);
        stream.write_all(&bytes)?;
        stream.flush()
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn apply(mask: &[u8], payload: &mut [u8]) {
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

/// A request to switch to WebSocket.
pub fn handshake(target: &str) -> Call {
    Call::get(target)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", KEY)
}

/// What answers [`handshake`].
pub fn expected_accept() -> String {
    accept(KEY)
}

fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

/// The answer that switches to WebSocket; the upstream then echoes every frame.
pub fn switching(request: &Received) -> Reply {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    Reply::status(101)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Accept", accept(&key))
        .echoing_frames()
}

/// Sends every frame back until one closes.
pub(crate) fn echo<S: Read + Write>(reader: &mut Reader<S>) -> io::Result<()> {
    loop {
        let mut frame = Frame::read(reader)?;
        if frame.opcode == Opcode::Ping {
            frame.opcode = Opcode::Pong;
        }
        frame.write(Side::Server, reader.stream())?;
        if frame.opcode == Opcode::Close {
            return Ok(());
        }
    }
}
