//! Where commands write: an answer, complaints, and whether colour is wanted.
//!
//! Writing never stops a command: a reader that has seen enough (`| head`) is no failure, and a slot under way is worth
//! more than its progress lines. What could not be written otherwise is an error once the command has ended.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::Failed;
use crate::exit::Exit;
use crate::telemetry::Terminal;

mod outlet;

use outlet::Outlet;

/// A command's two outlets.
pub struct Console {
    out: Outlet,
    err: Outlet,
    colour: bool,
    err_colour: bool,
}

/// What a piece of text is, for terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A heading or name.
    Strong,
    /// Of less interest.
    Faint,
    /// As it should be.
    Good,
    /// Worth a look.
    Doubtful,
    /// Wrong.
    Bad,
}

impl Console {
    /// The process's own. Each is coloured where it is a terminal that knows colours and `NO_COLOR` is not set.
    pub fn standard() -> Self {
        Self {
            out: Outlet::new(io::stdout()),
            err: Outlet::new(io::stderr()),
            colour: Terminal::of(&io::stdout()).shows_colour(),
            err_colour: Terminal::of(&io::stderr()).shows_colour(),
        }
    }

    /// Into these writers.
    pub fn new(out: impl Write + Send + 'static, err: impl Write + Send + 'static, colour: bool) -> Self {
        Self { out: Outlet::new(out), err: Outlet::new(err), colour, err_colour: colour }
    }

    /// For the answer.
    pub fn out(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// For complaints and progress.
    pub fn err(&mut self) -> &mut dyn Write {
        &mut self.err
    }

    /// Why nothing more of the answer is written, the first time that this is asked after it happened.
    pub fn answer_ended(&mut self) -> Option<String> {
        self.out.newly_ended()
    }

    /// Writes out what is left of the answer, and tells where it could not be written: the exit code of a command that
    /// would end by `exit`. Whatever the command came to stays so; only a success without its answer is none.
    pub fn finish(mut self, exit: Exit) -> Exit {
        // An error is kept by the outlet.
        let _ = self.out.flush();
        let Some(error) = self.out.error() else { return exit };
        let told = Failed::failure(format!("the answer could not be written: {error}")).report(&mut self);
        if exit == Exit::Success { told } else { exit }
    }

    /// Answers with one JSON document, indented, and a line's end.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.out, value)?;
        writeln!(self.out)
    }

    /// `text` in a style for the answer, where colour is wanted. Padding is the caller's: escape codes have no width.
    pub fn paint(&self, style: Style, text: impl fmt::Display) -> String {
        painted(self.colour, style, text)
    }

    /// `text` in a style for [`err`](Self::err), where colour is wanted there.
    pub fn paint_err(&self, style: Style, text: impl fmt::Display) -> String {
        painted(self.err_colour, style, text)
    }
}

fn painted(colour: bool, style: Style, text: impl fmt::Display) -> String {
    let code = match style {
        Style::Strong => "1",
        Style::Faint => "2",
        Style::Good => "32",
        Style::Doubtful => "33",
        Style::Bad => "31",
    };
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn answers_and_complaints_go_their_own_ways() {
        let (out, err) = (Shared::default(), Shared::default());
        let mut console = Console::new(out.clone(), err.clone(), false);
        console.json(&serde_json::json!({ "ok": true })).unwrap();
        assert_eq!(Failed::bad_input("no such thing").report(&mut console), Exit::BadInput);
        assert_eq!(out.text(), "{\n  \"ok\": true\n}\n");
        assert_eq!(err.text(), "error: no such thing\n");
    }

    #[test]
    fn colour_appears_only_where_it_is_wanted() {
        let plain = Console::new(io::sink(), io::sink(), false);
        assert_eq!(plain.paint(Style::Bad, "x"), "x");
        let coloured = Console::new(io::sink(), io::sink(), true);
        assert_eq!(coloured.paint(Style::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(coloured.paint_err(Style::Good, "x"), "\u{1b}[32mx\u{1b}[0m");
    }

    /// Takes so many bytes and then fails.
    struct Failing(usize, io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 && !bytes.is_empty() { Err(self.1.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_command_whose_reader_left_goes_on_and_ends_by_its_own_verdict() {
        for verdict in [Exit::Success, Exit::Failure, Exit::BadInput, Exit::Interrupted] {
            let err = Shared::default();
            let mut console = Console::new(Failing(5, io::ErrorKind::BrokenPipe), err.clone(), false);
            assert_eq!(console.answer_ended(), None);
            writeln!(console.out(), "more than five bytes").unwrap();
            writeln!(console.out(), "and more").unwrap();
            assert!(console.answer_ended().is_some_and(|why| why.contains("nobody reads")));
            assert_eq!(console.answer_ended(), None, "it is told once");
            assert_eq!(console.finish(verdict), verdict);
            assert_eq!(err.text(), "");
        }
    }

    #[test]
    fn an_answer_that_does_not_fit_on_the_disk_is_a_failure_in_the_end() {
        for (verdict, told) in [(Exit::Success, Exit::Failure), (Exit::BadInput, Exit::BadInput)] {
            let err = Shared::default();
            let mut console = Console::new(Failing(5, io::ErrorKind::StorageFull), err.clone(), false);
            writeln!(console.out(), "more than five bytes").unwrap();
            assert!(console.answer_ended().is_some());
            assert_eq!(console.finish(verdict), told);
            assert!(err.text().contains("the answer could not be written"), "{}", err.text());
        }
    }

    #[test]
    fn complaints_that_nobody_hears_change_nothing() {
        let out = Shared::default();
        let mut console = Console::new(out.clone(), Failing(0, io::ErrorKind::BrokenPipe), false);
        writeln!(console.err(), "stage audio").unwrap();
        writeln!(console.out(), "done").unwrap();
        assert_eq!(console.finish(Exit::Success), Exit::Success);
        assert_eq!(out.text(), "done\n");
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let (err, broken) = (Shared::default(), io::Error::from(io::ErrorKind::BrokenPipe));
        let mut console = Console::new(io::sink(), err.clone(), false);
        assert_eq!(Failed::from(broken).report(&mut console), Exit::Success);
        assert_eq!(err.text(), "");
        assert_eq!(Failed::from(io::Error::other("disk full")).report(&mut console), Exit::Failure);
        assert!(err.text().contains("disk full"));
    }
}
