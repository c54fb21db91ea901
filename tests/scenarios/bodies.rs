//! Bodies are nobody's business between the ends.

use crate::document::everything_to;
use crate::message::Call;
use crate::script::{Act, Piece, Reply, Script};
use crate::target::Target;

/// A mebibyte in which every byte occurs, in an order without a short period.
fn binary() -> Vec<u8> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let states = std::iter::successors(Some(7), next).take(1 << 20);
    states.map(|state| state.to_be_bytes()[0]).collect()
}

fn bodies() -> [Vec<u8>; 5] {
    [
        Vec::new(),
        br#"{"model":"gpt-4","messages":[{"role":"user","content":"ping"}]}"#.to_vec(),
        b"\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_vec(),
        (0..=255).collect(),
        binary(),
    ]
}

/// Whatever the client sends, sized or in chunks, is what the upstream receives.
pub(crate) fn request_bodies_arrive_byte_for_byte(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    for body in bodies() {
        let sized = Call::post("/x", body.clone());
        for call in [sized.clone(), sized.in_chunks()] {
            assert_eq!(target.call(&call).status, 200);
            let request = origin.requests().pop().unwrap();
            assert!(request.complete && request.body == body, "{} bytes", body.len());
        }
    }
}

/// Whatever the upstream sends, however framed, is what the client receives.
pub(crate) fn response_bodies_arrive_byte_for_byte(target: &mut impl Target) {
    let all = bodies();
    let script = Script::new(move |request| {
        let mut words = request.target.split('/').skip(1);
        let framing = words.next().unwrap().to_owned();
        let body = all[words.next().unwrap().parse::<usize>().unwrap()].clone();
        Act::Answer(match framing.as_str() {
            "sized" => Reply::ok(body),
            "until-close" => Reply::status(200).until_close(body),
            "chunked" => {
                let chunks = body.chunks(50_000).map(|chunk| Piece::Send(chunk.to_vec()));
                Reply::status(200).pieces(chunks.collect::<Vec<_>>())
            }
            other => panic!("{other}"),
        })
    });
    let origin = target.origin(script);
    target.start(&everything_to(&origin));

    for framing in ["sized", "chunked", "until-close"] {
        for (number, body) in bodies().into_iter().enumerate() {
            let answer = target.call(&Call::get(&format!("/{framing}/{number}")));
            let is_whole = answer.complete && answer.body == body;
            assert!(answer.status == 200 && is_whole, "{framing} {number}");
        }
    }
}

/// A body of known length has its `Content-Length` at both ends.
pub(crate) fn lengths_are_kept_both_ways(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(vec![b'y'; 70_000]));
    target.start(&everything_to(&origin));

    let answer = target.call(&Call::post("/x", vec![b'x'; 123_456]));
    assert_eq!(answer.header("content-length").as_deref(), Some("70000"));
    assert!(!answer.headers.has("transfer-encoding"));
    let request = origin.only_request();
    assert_eq!(request.header("content-length").as_deref(), Some("123456"));
    assert!(!request.chunked);

    assert_eq!(target.call(&Call::post("/x", "")).status, 200);
    let empty = origin.requests().pop().unwrap();
    assert_eq!(empty.header("content-length").as_deref(), Some("0"));
}

/// A compressed body goes through compressed, both ways.
pub(crate) fn a_compressed_body_is_left_alone(target: &mut impl Target) {
    // `printf 'hello hello hello hello' | gzip -9n`
    const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\
        \x27\x01\xe3\x51\x3d\x8d\x17\x00\x00\x00";
    let origin = target.origin(Script::new(|request| {
        let encoding = request.target.trim_start_matches('/').to_owned();
        Act::Answer(Reply::ok(GZIP).header("Content-Encoding", encoding))
    }));
    target.start(&everything_to(&origin));

    for encoding in ["gzip", "br", "zstd", "x-own"] {
        let call = Call::get(&format!("/{encoding}")).header("Accept-Encoding", encoding);
        let answer = target.call(&call);
        assert_eq!(answer.header("content-encoding").as_deref(), Some(encoding));
        assert_eq!(answer.body, GZIP, "{encoding}");
        assert_eq!(answer.header("content-length"), Some(GZIP.len().to_string()), "{encoding}");
    }

    let call = Call::post("/gzip", GZIP).header("Content-Encoding", "gzip");
    assert_eq!(target.call(&call).status, 200);
    let request = origin.requests().pop().unwrap();
    assert_eq!(
        (request.body.as_slice(), request.header("content-encoding")),
        (GZIP, Some("gzip".to_owned()))
    );
}

/// The upstream hears which encodings the client accepts, and none that it does not.
pub(crate) fn the_upstream_hears_what_the_client_accepts(target: &mut impl Target) {
    let origin = target.origin(Reply::ok(""));
    target.start(&everything_to(&origin));

    for accepted in [Some("gzip, br;q=0.5"), Some("identity"), None] {
        let call = Call::get("/x");
        let call = match accepted {
            Some(accepted) => call.header("Accept-Encoding", accepted),
            None => call,
        };
        assert_eq!(target.call(&call).status, 200);
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.header("accept-encoding").as_deref(), accepted);
    }
}

/// A response that breaks off does not look like a whole one.
pub(crate) fn a_response_cut_short_is_seen_to_be(target: &mut impl Target) {
    let pieces = [Piece::Send(b"the first half".to_vec()), Piece::Cut];
    let origin = target.origin(Reply::status(200).pieces(pieces));
    target.start(&everything_to(&origin));

    let answer = target.call(&Call::get("/x"));
    assert_eq!((answer.status, answer.complete), (200, false), "{}", answer.text());
}
