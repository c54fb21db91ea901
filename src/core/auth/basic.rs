//! Names and passwords as `Authorization: Basic` sends them (RFC 7617).

use base64ct::{Base64, Base64Unpadded, Encoding as _};

use super::digest::Digest;

/// Why a header has no name and password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The scheme, in lower case.
const SCHEME: &str = "basic";

/// The hash of the name and password in the value of a header. Those that APISIX would take are taken, and
/// besides what it would not: blanks are part of both, and colons of the password.
pub(crate) fn credentials(header: &str) -> Result<Digest, Malformed> {
    let (scheme, encoded) = header.trim_ascii().split_once([' ', '\t']).ok_or(Malformed)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(Malformed);
    }
    let decoded = decode(encoded.trim_ascii()).ok_or(Malformed)?;
    let decoded = String::from_utf8(decoded).map_err(|_| Malformed)?;
    let (name, password) = decoded.split_once(':').ok_or(Malformed)?;
    Ok(Digest::of_password(name, password))
}

/// What was encoded in base 64 (RFC 4648, section 4), with or without padding at its end.
fn decode(text: &str) -> Option<Vec<u8>> {
    match text.len() % 4 {
        0 => Base64::decode_vec(text).ok(),
        _ => Base64Unpadded::decode_vec(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_is_decoded_as_in_its_rfc() {
        // RFC 4648, section 10.
        for (text, expected) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm9vYg", "foob"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(expected.as_bytes()), "{text}");
        }
        assert_eq!(decode("+/+/").as_deref(), Some(&[0xfb, 0xff, 0xbf][..]));
        for text in ["Z", "Zg=", "Zg===", "====", "Zm9v=", "Zm-v", "Zm 9v", "Z\u{e9}m9", "=Zg="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn a_header_has_a_name_and_a_password() {
        // RFC 7617, section 2.
        let aladdin = Ok(Digest::of_password("Aladdin", "open sesame"));
        for header in [
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "BASIC   QWxhZGRpbjpvcGVuIHNlc2FtZQ",
        ] {
            assert_eq!(credentials(header), aladdin, "{header}");
        }
        // `a:b:c` and `:`.
        assert_eq!(credentials("Basic YTpiOmM="), Ok(Digest::of_password("a", "b:c")));
        assert_eq!(credentials("Basic Og=="), Ok(Digest::of_password("", "")));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for header in [
            "",
            "Basic",
            "Basic ",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic Zm9v",
            "Basic %%%%",
            // Bytes that are no text, behind a colon.
            "Basic Ov8=",
            // Two headers, joined.
            "Basic YTpi, Basic YTpi",
        ] {
            assert_eq!(credentials(header), Err(Malformed), "{header}");
        }
    }
}
