//! As much of Redis' protocol (RESP2) as a test needs to send a command and read its answer.
//!
//! Not a client library, so that a test of dlock does not judge dlock's client by itself.

use super::wire::connect;
use crate::error::{Doing, HarnessError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One connection to a Redis server, kept for as long as this lives.
#[derive(Debug)]
pub struct RespConnection {
    stream: BufReader<TcpStream>,
}

impl RespConnection {
    pub(crate) fn open(address: SocketAddr, patience: Duration) -> Result<Self, HarnessError> {
        let stream = connect(address, patience).doing(format!("connect to Redis at {address}"))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a command and reads its answer: text as it is, a number in digits, nothing as `(nil)`, and
    /// an array as the lines of its elements.
    pub(crate) fn call(&mut self, command: &[&str]) -> Result<String, HarnessError> {
        let action = || format!("ask Redis for {}", command.join(" "));
        self.stream.get_mut().write_all(&encode(command)).doing(action())?;
        read_answer(&mut self.stream).doing(action())?.map_err(HarnessError::Reply)
    }

    /// Sends commands at once. Each has one answer to be [received](Self::receive), in this order.
    pub fn send<C: AsRef<[W]>, W: AsRef<str>>(&mut self, commands: &[C]) -> Result<(), HarnessError> {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(command.as_ref())).collect();
        self.stream.get_mut().write_all(&bytes).doing("send commands to Redis")
    }

    /// The next answer, or the next message to a connection that subscribed, in the form that
    /// [`RedisServer::command`](super::RedisServer::command) gives.
    pub fn receive(&mut self) -> Result<String, HarnessError> {
        read_answer(&mut self.stream).doing("read an answer of Redis")?.map_err(HarnessError::Reply)
    }
}

fn encode<W: AsRef<str>>(command: &[W]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", command.len());
    for word in command.iter().map(AsRef::as_ref) {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    text.into_bytes()
}

/// The answer, or the error the server answered with.
fn read_answer(stream: &mut impl BufRead) -> io::Result<Result<String, String>> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let (kind, rest) = line.trim_end().split_at_checked(1).ok_or(io::ErrorKind::UnexpectedEof)?;
    match kind {
        "+" | ":" => Ok(Ok(rest.to_owned())),
        "-" => Ok(Err(rest.to_owned())),
        "$" => read_text(stream, length(rest)?).map(Ok),
        "*" => read_array(stream, length(rest)?),
        _ => Err(io::Error::other(format!("not an answer: {line:?}"))),
    }
}

/// The announced length, or none for nil.
fn length(digits: &str) -> io::Result<Option<usize>> {
    if digits == "-1" { Ok(None) } else { digits.parse().map(Some).map_err(io::Error::other) }
}

fn read_text(stream: &mut impl Read, length: Option<usize>) -> io::Result<String> {
    let Some(length) = length else { return Ok(NIL.to_owned()) };
    let mut bytes = vec![0; length + 2];
    stream.read_exact(&mut bytes)?;
    bytes.truncate(length);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_array(stream: &mut impl BufRead, length: Option<usize>) -> io::Result<Result<String, String>> {
    let Some(length) = length else { return Ok(Ok(NIL.to_owned())) };
    let elements: io::Result<Vec<_>> = (0..length).map(|_| read_answer(stream)).collect();
    let elements: Result<Vec<_>, _> = elements?.into_iter().collect();
    Ok(elements.map(|elements| elements.join("\n")))
}

const NIL: &str = "(nil)";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut bytes: &[u8]) -> Result<String, String> {
        read_answer(&mut bytes).unwrap()
    }

    #[test]
    fn answers_become_text() {
        assert_eq!(read(b"+PONG\r\n"), Ok("PONG".to_owned()));
        assert_eq!(read(b":-12\r\n"), Ok("-12".to_owned()));
        assert_eq!(read(b"$4\r\na\r\nb\r\n"), Ok("a\r\nb".to_owned()));
        assert_eq!(read(b"$0\r\n\r\n"), Ok(String::new()));
        assert_eq!(read(b"$-1\r\n"), Ok("(nil)".to_owned()));
        assert_eq!(read(b"*-1\r\n"), Ok("(nil)".to_owned()));
        assert_eq!(read(b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n"), Ok("a\n1\n(nil)".to_owned()));
    }

    #[test]
    fn errors_are_told_apart_from_text() {
        assert_eq!(read(b"-ERR no\r\n"), Err("ERR no".to_owned()));
        assert_eq!(read(b"*2\r\n-ERR no\r\n:1\r\n"), Err("ERR no".to_owned()));
    }

    #[test]
    fn a_closed_connection_is_no_answer() {
        assert!(read_answer(&mut &b""[..]).is_err());
        assert!(read_answer(&mut &b"$4\r\nab"[..]).is_err());
    }

    #[test]
    fn commands_carry_lengths_in_bytes() {
        assert_eq!(encode(&["GET", "é"]), "*2\r\n$3\r\nGET\r\n$2\r\né\r\n".as_bytes());
    }
}
