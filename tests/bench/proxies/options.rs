//! What the command line says.

use std::path::PathBuf;

/// How to be called.
pub(crate) const USAGE: &str = "\
bench-proxies [--rounds N] [--seconds S] [--cases a,b] [--cores LOAD,PROXY] [--smoke | --train] [--out DIR]";

/// What was said.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// How many rounds are to count.
    pub(crate) rounds: usize,
    /// How long each turn is.
    pub(crate) seconds: u32,
    /// The cases that begin with one of these; all if there are none.
    pub(crate) cases: Vec<String>,
    /// The cores of load and proxy.
    pub(crate) cores: Option<(usize, usize)>,
    /// Only to see whether all work.
    pub(crate) smoke: bool,
    /// Only to have Splitway under load.
    pub(crate) train: bool,
    /// Where everything is written.
    pub(crate) out: PathBuf,
}

impl Options {
    /// Reads arguments; says which one is wrong.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            rounds: 15,
            seconds: 2,
            cases: Vec::new(),
            cores: None,
            smoke: false,
            train: false,
            out: PathBuf::from("target/bench-proxies"),
        };
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--smoke" => options.smoke = true,
                "--train" => options.train = true,
                _ => {
                    let value = arguments.next().ok_or_else(|| format!("{name}\n{USAGE}"))?;
                    options.set(&name, &value).ok_or_else(|| format!("{name} {value}\n{USAGE}"))?;
                }
            }
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "--rounds" => self.rounds = value.parse().ok().filter(|rounds| *rounds > 0)?,
            "--seconds" => self.seconds = value.parse().ok().filter(|seconds| *seconds > 0)?,
            "--cases" => self.cases = value.split(',').map(str::to_owned).collect(),
            "--cores" => {
                let (load, proxy) = value.split_once(',')?;
                self.cores = Some((load.parse().ok()?, proxy.parse().ok()?));
            }
            "--out" => self.out = PathBuf::from(value),
            _ => return None,
        }
        Some(())
    }
}
