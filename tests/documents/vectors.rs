//! What APISIX says of single resources, as data. It stands with what APISIX does (tests/scenarios),
//! and is asked here, where nothing serves.

use splitway_core::fault::Report;
use splitway_core::snapshot;
use splitway_tests::scenarios::vectors::resources_are_judged_as_told;

use crate::agreement;

#[test]
fn resources_are_taken_or_refused_as_by_apisix() {
    resources_are_judged_as_told(|kind, value| {
        agreement::check(kind, value);
        let mut report = Report::default();
        snapshot::check(kind, value, &mut report);
        report.faults
    });
}
