//! Schemas (to come from another branch).
/// x
pub const PLUGINS: [&str; 1] = ["traffic-split"];
/// x
pub fn of(_: &str) -> Option<&'static str> {
    None
}
/// x
pub fn of_plugin(_: &str, _: Option<&str>) -> Option<&'static str> {
    None
}
