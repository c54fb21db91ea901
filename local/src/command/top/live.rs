//! The view that goes on: one thread asks the server, one reads keys, one waits for signals, and this one
//! draws what they tell.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event};
use splitway_core::status::Status;
use splitway_local::client::Client;
use splitway_local::client::error::ClientError;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Arguments;
use super::history::History;
use super::keys::Next;
use super::screen::{Absence, Screen};
use super::terminal::Taken;
use crate::command::Requests;
use crate::command::outcome::{Failure, Verdict, client};

/// The screen tells how long something lasts, so it is drawn so often at least.
const TICK: Duration = Duration::from_secs(1);

/// A server that does not answer is not asked more often.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the threads tell.
enum News {
    /// An answer, or why there is none. It is large.
    Told(Box<Result<Status, ClientError>>),
    Happened(Event),
    /// A thread is at its end: a signal came, there is nobody to press keys, or it broke down.
    Over,
}

/// Tells news, and in the end that its thread is over.
struct Teller(Sender<News>);

impl Drop for Teller {
    fn drop(&mut self) {
        drop(self.0.send(News::Over));
    }
}

/// Shows it until somebody quits, by a key or a signal.
pub(super) fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let client = client(&arguments.client)?;
    let screen = Screen {
        server: arguments.client.server.to_string(),
        sort: arguments.sort,
        filter: arguments.filter.clone(),
        is_coloured: std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty()),
        ..Screen::default()
    };
    let (sender, news) = channel();
    // From here on no signal ends the process before the terminal is as it was.
    let (runtime, signals) = signals()?;
    let mut taken = Taken::new()?;
    let (signalled, asking, typing) =
        (Teller(sender.clone()), Teller(sender.clone()), Teller(sender));
    let interval = arguments.interval;
    thread::spawn(move || wait(&signalled, &runtime, signals));
    thread::spawn(move || ask(&asking, &client, interval));
    thread::spawn(move || read(&typing));
    Show { screen, history: History::default(), answered: Instant::now() }.go_on(&mut taken, &news)
}

/// The signals that end it; that of a terminal that goes is one more.
fn signals() -> io::Result<(Runtime, (Requests, Signal))> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _entered = runtime.enter();
        (Requests::new()?, signal(SignalKind::hangup())?)
    };
    Ok((runtime, signals))
}

fn wait(_teller: &Teller, runtime: &Runtime, (mut requests, mut hangup): (Requests, Signal)) {
    runtime.block_on(async {
        tokio::select! {
            () = requests.next() => {}
            _ = hangup.recv() => {}
        }
    });
}

fn ask(teller: &Teller, client: &Client, interval: Duration) {
    loop {
        let begin = Instant::now();
        let told = client.status();
        let pause = if told.is_ok() { interval } else { interval.max(PATIENCE) };
        if teller.0.send(News::Told(Box::new(told))).is_err() {
            return;
        }
        thread::sleep(pause.saturating_sub(begin.elapsed()));
    }
}

fn read(teller: &Teller) {
    while let Ok(event) = event::read() {
        if teller.0.send(News::Happened(event)).is_err() {
            return;
        }
    }
}

/// The view as it goes on.
struct Show {
    screen: Screen,
    history: History,
    /// When there was an answer last, or when it began.
    answered: Instant,
}

impl Show {
    fn go_on(mut self, taken: &mut Taken, news: &Receiver<News>) -> Result<Verdict, Failure> {
        loop {
            if let Some(absence) = &mut self.screen.absence {
                absence.lasting = self.answered.elapsed();
            }
            taken.draw(|frame| self.screen.draw(frame))?;
            let first = match news.recv_timeout(TICK) {
                Ok(news) => Some(news),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(Verdict::Done),
            };
            // What has come together is drawn together.
            for news in first.into_iter().chain(news.try_iter()) {
                if self.note(news)? == Next::Quit {
                    return Ok(Verdict::Done);
                }
            }
        }
    }

    fn note(&mut self, news: News) -> Result<Next, Failure> {
        match news {
            News::Over => return Ok(Next::Quit),
            News::Happened(Event::Key(key)) => return Ok(self.screen.press(key)),
            // Another size is seen when it is drawn.
            News::Happened(_) => {}
            News::Told(told) => match *told {
                Ok(status) => {
                    self.screen.view = Some(self.history.take(status));
                    self.screen.absence = None;
                    self.answered = Instant::now();
                }
                Err(error) if self.may_pass(&error) => {
                    let (why, hint) = (error.to_string(), error.hint());
                    let lasting = self.answered.elapsed();
                    self.screen.absence = Some(Absence { why, hint, lasting });
                }
                Err(error) => return Err(error.into()),
            },
        }
        Ok(Next::GoOn)
    }

    /// Whether the server may answer when it is asked again. What is no Splitway may be what stands before
    /// one that is away.
    fn may_pass(&self, error: &ClientError) -> bool {
        match error {
            ClientError::Connection { .. }
            | ClientError::Late { .. }
            | ClientError::Unavailable { .. }
            | ClientError::Refused { .. } => true,
            ClientError::Foreign { .. } => self.screen.view.is_some(),
            ClientError::NoRequest
            | ClientError::TooLong { .. }
            | ClientError::Key { .. }
            | ClientError::Viewer { .. }
            | ClientError::Address { .. }
            | ClientError::TooManyKeys { .. }
            | ClientError::Redirect { .. }
            | ClientError::Changed { .. }
            | ClientError::Faults(_) => false,
        }
    }
}
