//! HTTP/2 as frames, in front of an origin of HTTP/1.1.
