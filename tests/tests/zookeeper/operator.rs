//! A ZooKeeper client that shares nothing with the one under test: the few requests that tests need, spoken
//! directly.

use super::op_code;
use dlock_core::LockKey;
use dlock_tests::ZooKeeperServer;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;

pub(super) struct Operator(Mutex<TcpStream>);

const NO_NODE: i32 = -101;
const NODE_EXISTS: i32 = -110;
const NOT_EMPTY: i32 = -111;
const PERSISTENT: i32 = 0;
const EPHEMERAL_SEQUENTIAL: i32 = 3;

impl Operator {
    pub(super) fn of(server: &ZooKeeperServer) -> Self {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        // Protocol, last transaction seen, timeout, session, password.
        let hello = [int(0), long(0), int(60_000), long(0), bytes(&[0; 16])].concat();
        send(&mut stream, &hello);
        receive(&mut stream);
        Self(Mutex::new(stream))
    }

    /// The nodes in the directory of `key`, by name.
    pub(super) fn queue(&self, key: &LockKey) -> Vec<String> {
        match self.ask(op_code::LIST, &[text(&format!("/locks/{key}")), vec![0]].concat()) {
            Ok(answer) => {
                let mut nodes = texts(&answer);
                nodes.sort();
                nodes
            }
            Err(NO_NODE) => Vec::new(),
            Err(code) => panic!("list: {code}"),
        }
    }

    pub(super) fn czxid(&self, path: &str) -> Option<u64> {
        match self.ask(op_code::EXISTS, &[text(path), vec![0]].concat()) {
            Ok(stat) => Some(u64::from_be_bytes(stat[..8].try_into().unwrap())),
            Err(code) => {
                assert_eq!(code, NO_NODE);
                None
            }
        }
    }

    /// The session that made a node that goes with it.
    pub(super) fn owner(&self, path: &str) -> u64 {
        let stat = self.ask(op_code::EXISTS, &[text(path), vec![0]].concat()).unwrap();
        // Behind four numbers of eight bytes and three of four.
        u64::from_be_bytes(stat[44..52].try_into().unwrap())
    }

    /// Makes a node that anybody may do anything with, and those above it.
    pub(super) fn make(&self, path: &str) {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        for end in ends {
            let made = self.create(path.split_at(end).0, PERSISTENT);
            assert!(matches!(made, Ok(_) | Err(NODE_EXISTS)), "{made:?}");
        }
    }

    pub(super) fn make_sequential(&self, prefix: &str) -> String {
        self.create(prefix, EPHEMERAL_SEQUENTIAL).unwrap()
    }

    fn create(&self, path: &str, flags: i32) -> Result<String, i32> {
        let anybody = [int(1), int(31), text("world"), text("anyone")].concat();
        let answer = self.ask(op_code::CREATE, &[text(path), bytes(&[]), anybody, int(flags)].concat())?;
        Ok(read_text(&answer).0)
    }

    pub(super) fn write(&self, path: &str, data: &[u8]) {
        self.ask(op_code::SET_DATA, &[text(path), bytes(data), int(-1)].concat()).unwrap();
    }

    /// The data of a node.
    pub(super) fn read(&self, path: &str) -> Vec<u8> {
        let answer = self.ask(op_code::GET_DATA, &[text(path), vec![0]].concat()).unwrap();
        let (length, rest) = answer.split_at(4);
        // No data is of the length -1.
        let length = i32::from_be_bytes(length.try_into().unwrap());
        rest[..usize::try_from(length).unwrap_or_default()].to_vec()
    }

    pub(super) fn delete(&self, path: &str) {
        self.ask(op_code::DELETE, &[text(path), int(-1)].concat()).unwrap();
    }

    pub(super) fn delete_if_there(&self, path: &str) {
        let deleted = self.ask(op_code::DELETE, &[text(path), int(-1)].concat());
        assert!(matches!(deleted, Ok(_) | Err(NO_NODE)), "{deleted:?}");
    }

    /// Whether it was there, with nothing in it.
    pub(super) fn delete_if_empty(&self, path: &str) -> bool {
        let deleted = self.ask(op_code::DELETE, &[text(path), int(-1)].concat());
        assert!(matches!(deleted, Ok(_) | Err(NO_NODE | NOT_EMPTY)), "{deleted:?}");
        deleted.is_ok()
    }

    fn ask(&self, code: i32, body: &[u8]) -> Result<Vec<u8>, i32> {
        let mut stream = self.0.lock().unwrap();
        send(&mut stream, &[&int(1), &int(code), body].concat());
        let answer = receive(&mut stream);
        // Number, transaction, error.
        match i32::from_be_bytes(answer[12..16].try_into().unwrap()) {
            0 => Ok(answer[16..].to_vec()),
            error => Err(error),
        }
    }
}

fn send(stream: &mut TcpStream, frame: &[u8]) {
    stream.write_all(&bytes(frame)).unwrap();
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).unwrap();
    frame
}

fn int(value: i32) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

fn long(value: i64) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

fn bytes(value: &[u8]) -> Vec<u8> {
    [&int(i32::try_from(value.len()).unwrap()), value].concat()
}

fn text(value: &str) -> Vec<u8> {
    bytes(value.as_bytes())
}

fn read_text(from: &[u8]) -> (String, &[u8]) {
    let (length, rest) = from.split_at(4);
    let (value, rest) = rest.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
    (String::from_utf8(value.to_vec()).unwrap(), rest)
}

fn texts(from: &[u8]) -> Vec<String> {
    let (count, mut rest) = from.split_at(4);
    let mut values = Vec::new();
    for _ in 0..u32::from_be_bytes(count.try_into().unwrap()) {
        let (value, after) = read_text(rest);
        values.push(value);
        rest = after;
    }
    values
}
