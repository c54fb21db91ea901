//! The load that a build by profile is made by: Splitway alone, in each case of requests and of streams, every
//! process ended in its own time, so that it writes down what it has counted.

use std::io;

use crate::case::{Case, Table};
use crate::lane::Kind;
use crate::measure::{self, Plan};
use crate::setup::World;
use crate::smoke;

/// Has Splitway loaded in all cases, in turn.
pub(crate) fn all(cases: &[Case], world: &World, plan: &Plan) -> io::Result<()> {
    for case in cases.iter().filter(|case| matches!(case.table, Table::Requests | Table::Streams)) {
        for lane in case.lanes.iter().filter(|lane| lane.kind == Kind::Splitway) {
            let running = lane.start(world, plan.cores)?;
            smoke::check(case, &running, world)?;
            measure::turn(case, &running, world, plan)?;
            running.end()?;
            crate::say(&format!("{}: served", case.id));
        }
    }
    Ok(())
}
