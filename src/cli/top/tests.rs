//! Pictures of a node at the sizes that people have, what keys do, and the look that is printed.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use serde_json::{Value, json};

use super::board::{Board, Look};
use super::draw::{Palette, draw};
use super::feed::{Command, Update};
use super::ui::{Step, Ui};
use super::{Now, TopCommand};
use crate::api::views::{NetworkView, NodeView, SlotState, SlotView};
use crate::cli::remote::testing::run;
use crate::client::fake::{AT, Fake, ONE, OTHER, node, problem, reply, slot};
use crate::clock;
use crate::exit::Exit;

fn look(node: NodeView) -> Update {
    let queued = SlotView { position: Some(0), ..slot(OTHER, SlotState::Queued) };
    let failed = SlotView {
        cause: Some("check".to_owned()),
        message: Some("clip_b 0.1\u{1b}[2J below 0.2".to_owned()),
        ..slot("aaaaaaaa-0000-4000-8000-000000000000", SlotState::Failed)
    };
    let open = vec![queued, slot(ONE, SlotState::Running)];
    Update::Look(Box::new(Look { node, open, recent: vec![failed] }))
}

fn board(node: NodeView) -> Board {
    let mut board = Board::new("http://127.0.0.1:9100");
    board.take(look(node), clock::now());
    let event =
        json!({ "at": 0.0, "device": "cuda:0", "slot": ONE, "event": "stage_began", "stage": "video" });
    board.take(Update::Event { kind: "stage_began".to_owned(), json: event.to_string() }, clock::now());
    board
}

/// The world's clock stands still.
fn at(at: std::time::Instant) -> Now {
    Now { at, wall: Duration::from_secs_f64(AT) }
}

/// The picture's rows, and whether any of it is coloured.
fn picture(board: &Board, ui: &Ui, colour: bool, size: (u16, u16)) -> (Vec<String>, bool) {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(frame, board, ui, Palette::new(colour), at(clock::now()))).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = buffer.content.chunks(usize::from(size.0));
    let text =
        |row: &[ratatui::buffer::Cell]| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>();
    let coloured = buffer.content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
    (rows.map(|row| text(row).trim_end().to_owned()).collect(), coloured)
}

fn shown(board: &Board, size: (u16, u16)) -> String {
    picture(board, &Ui::default(), false, size).0.join("\n")
}

fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn everything_is_told_at_both_sizes() {
    for size in [(80, 24), (120, 40)] {
        let text = shown(&board(node()), size);
        holds(
            &text,
            &[
                "vortex-node http://127.0.0.1:9100",
                "ready",
                "up 2 h 5 min",
                "queue 3/64",
                "in work 1",
                "completed 12",
                "failed 1",
                // Memory: in use, of how much, both limits.
                "9.00 GB of 12.00 GB",
                "╎ soft 10.50 GB",
                "┃ hard 11.50 GB",
                // Models: what they hold, how they stand, how often they were restarted.
                "F flux busy 6.00 GB",
                "L liveportrait ready 1.00 GB",
                "K kokoro ready 500.0 MB ↻2",
                "B clip_b loading",
                // Slots: stages, step, time left, deadline.
                "video 540/1080 1 min 35 s +3 min 25 s",
                "next           1 min 35 s +3 min 25 s",
                // Ends and events.
                "aaaaaaaa failed    6 s ago after 34 s",
                "check: clip_b 0.1\u{fffd}[2J belo",
                "00:00:00 cuda:0 6f1c2f5e stage began video",
                "q quit",
            ],
        );
        let bars = if size.0 == 80 {
            "6f1c2f5e █████ █████ ███▒▒ ····· ·····"
        } else {
            "█████████ █████▒▒▒▒ ·········"
        };
        holds(&text, &[bars]);
        assert!(text.lines().all(|line| line.chars().count() <= usize::from(size.0)));
    }
}

#[test]
fn the_gauge_shows_each_models_share_and_both_limits() {
    let text = shown(&board(node()), (80, 24));
    let gauge = text.split('[').nth(1).unwrap().split(']').next().unwrap();
    let width = gauge.chars().count() as f64;
    let count = |letter: char| gauge.chars().filter(|found| *found == letter).count() as f64;
    assert!(width >= 30.0, "{gauge}");
    // 6 of 12 GB are flux's, 1 liveportrait's, 0.5 kokoro's, 1.5 others'.
    for (letter, share) in [('F', 6.0), ('L', 1.0), ('K', 0.5), ('#', 1.5)] {
        let expected = share / 12.0 * width;
        assert!((count(letter) - expected).abs() <= 1.0, "{letter}: {gauge}");
    }
    let place = |mark: char| gauge.chars().position(|found| found == mark).unwrap() as f64;
    assert!((place('╎') - 10.5 / 12.0 * width).abs() <= 1.0, "{gauge}");
    assert!((place('┃') - 11.5 / 12.0 * width).abs() <= 1.0, "{gauge}");
}

#[test]
fn without_colour_nothing_is_coloured_and_nothing_is_missing() {
    let board = board(node());
    let (plain, is_plain_coloured) = picture(&board, &Ui::default(), false, (100, 30));
    let (coloured, is_coloured) = picture(&board, &Ui::default(), true, (100, 30));
    assert_eq!(plain, coloured);
    assert!(!is_plain_coloured && is_coloured);
}

#[test]
fn a_node_that_is_not_well_says_why() {
    let mut node = node();
    node.ready = false;
    node.not_ready = vec!["flux is loading".to_owned(), "memory is above the soft limit".to_owned()];
    node.alerts = vec!["the artifact store is down, 3 tries failed".to_owned()];
    node.devices[0].pressure = "hard".to_owned();
    node.devices[0].closed = Some("pressure".to_owned());
    node.devices[0].actors[3].state = "restarting".to_owned();
    node.devices[0].actors[3].fault = Some("died: out of memory".to_owned());
    node.devices[0].actors[1].restarts = 1;
    holds(
        &shown(&board(node), (80, 24)),
        &[
            "NOT READY",
            "! flux is loading",
            "! memory is above the soft limit",
            "! the artifact store is down, 3 tries failed",
            "hard",
            "closed: pressure",
            "flux restarting",
            "flux: died: out of memory",
            "watchdog up ↻1",
        ],
    );
}

#[test]
fn a_network_has_its_line_and_without_one_there_is_none() {
    assert!(!shown(&board(node()), (80, 24)).contains("network"));
    let mut network = NetworkView {
        prefix: "vortex".to_owned(),
        connected: true,
        since: None,
        error: None,
        pulls: true,
        not_pulling: Vec::new(),
        claims: 2,
        claims_lost: 0,
        letters: 0,
        superseded: 0,
        stands_in_for: Vec::new(),
    };
    let of = |network: &NetworkView| {
        shown(&board(NodeView { network: Some(network.clone()), ..node() }), (100, 24))
    };
    let well = of(&network);
    holds(&well, &["network vortex connected", "claims 2"]);
    assert!(!well.contains("lost") && !well.contains("dead letters"), "{well}");
    network.pulls = false;
    network.not_pulling = vec!["a stream is full".to_owned()];
    network.letters = 3;
    holds(&of(&network), &["network vortex pulls nothing", "dead letters 3", "a stream is full"]);
    network.connected = false;
    network.claims_lost = 1;
    network.stands_in_for = vec!["ab".repeat(32)];
    holds(&of(&network), &["network vortex AWAY", "lost 1", "stands in for 1"]);
}

#[test]
fn what_is_old_is_said_to_be_old_until_the_node_is_back() {
    let mut board = board(node());
    let now = clock::now();
    board.take(Update::Lost("no node answers at http://127.0.0.1:9100: refused".to_owned()), now);
    board.take(Update::Lost("still refused".to_owned()), now + Duration::from_secs(5));
    assert_eq!(board.stale(now + Duration::from_secs(7)), Some((Duration::from_secs(7), "still refused")));
    holds(&shown(&board, (80, 24)), &["STALE for", "still refused", "6f1c2f5e █████"]);
    board.take(look(node()), now);
    assert_eq!(board.stale(now), None);
    // A node that hangs says nothing at all.
    let late = now + Duration::from_secs(9);
    assert_eq!(board.stale(late), Some((Duration::from_secs(9), "the node takes long to answer")));
}

#[test]
fn a_small_terminal_is_told_so_and_a_full_node_fits() {
    holds(&shown(&board(node()), (40, 8)), &["40×8 is too small"]);
    let mut full = node();
    let device = full.devices[0].clone();
    full.devices = (0..8)
        .map(|at| crate::api::views::DeviceView { device: format!("cuda:{at}"), ..device.clone() })
        .collect();
    let text = shown(&board(full), (80, 24));
    holds(&text, &["cuda:0", "more devices", "6f1c2f5e █████", "stage began video", "q quit"]);
    let empty = Board::new("http://127.0.0.1:9100");
    holds(&shown(&empty, (80, 24)), &["vortex-node http://127.0.0.1:9100", "none"]);
}

fn press(ui: &mut Ui, board: &Board, code: KeyCode) -> Step {
    ui.follow(board);
    ui.key(KeyEvent::new(code, KeyModifiers::NONE), board)
}

#[test]
fn a_slot_is_cancelled_only_after_a_yes() {
    let board = board(node());
    let mut ui = Ui::default();
    ui.follow(&board);
    assert_eq!(ui.selected.as_deref(), Some(ONE), "what is in work comes first");
    press(&mut ui, &board, KeyCode::Down);
    assert_eq!(ui.selected.as_deref(), Some(OTHER));
    press(&mut ui, &board, KeyCode::Char('j'));
    assert_eq!(ui.selected.as_deref(), Some(OTHER), "there is none after it");
    press(&mut ui, &board, KeyCode::Char('k'));
    press(&mut ui, &board, KeyCode::Char('c'));
    holds(&picture(&board, &ui, false, (80, 24)).0.join("\n"), &["cancel slot 6f1c2f5e?", "y yes"]);
    for no in [KeyCode::Char('n'), KeyCode::Enter, KeyCode::Esc, KeyCode::Char('c')] {
        ui.asking = Some(Command::Cancel(ONE.parse().unwrap()));
        assert_eq!(press(&mut ui, &board, no), Step::Stay);
        assert_eq!(ui.asking, None);
    }
    press(&mut ui, &board, KeyCode::Char('c'));
    assert_eq!(press(&mut ui, &board, KeyCode::Char('y')), Step::Ask(Command::Cancel(ONE.parse().unwrap())));
}

#[test]
fn the_choice_stays_with_its_slot_and_then_with_its_place() {
    let mut board = board(node());
    let mut ui = Ui::default();
    press(&mut ui, &board, KeyCode::End);
    assert_eq!(ui.selected.as_deref(), Some(OTHER));
    // The one before it ends: the chosen one stays chosen.
    if let Some(look) = &mut board.look {
        look.open.remove(0);
    }
    ui.follow(&board);
    assert_eq!(ui.selected.as_deref(), Some(OTHER));
    if let Some(look) = &mut board.look {
        look.open.clear();
    }
    ui.follow(&board);
    assert_eq!(ui.selected, None);
    assert_eq!(press(&mut ui, &board, KeyCode::Char('c')), Step::Stay);
    assert_eq!(ui.asking, None, "there is nothing to cancel");
}

#[test]
fn draining_is_asked_for_and_taken_back() {
    let mut ui = Ui::default();
    let there = board(node());
    press(&mut ui, &there, KeyCode::Char('d'));
    assert_eq!(press(&mut ui, &there, KeyCode::Char('Y')), Step::Ask(Command::Drain));
    let draining = board(NodeView { draining: true, ..node() });
    holds(&shown(&draining, (80, 24)), &["DRAINING", "d undrain"]);
    press(&mut ui, &draining, KeyCode::Char('d'));
    assert_eq!(press(&mut ui, &draining, KeyCode::Char('y')), Step::Ask(Command::Undrain));
}

#[test]
fn there_is_help_and_a_way_out() {
    let board = board(node());
    let mut ui = Ui::default();
    press(&mut ui, &board, KeyCode::Char('?'));
    holds(&picture(&board, &ui, false, (80, 24)).0.join("\n"), &["the soft limit", "any key closes it"]);
    assert_eq!(press(&mut ui, &board, KeyCode::Char('x')), Step::Stay);
    assert!(!ui.help);
    assert_eq!(press(&mut ui, &board, KeyCode::Char('q')), Step::Quit);
    ui.asking = Some(Command::Drain);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(ui.key(control_c, &board), Step::Interrupt);
}

fn played() -> Fake {
    Fake::start(|seen| match (seen.path.as_str(), seen.query.contains("running")) {
        ("/v1/node", _) => reply(200, &node()),
        (_, true) => reply(200, &json!({ "slots": [slot(ONE, SlotState::Running)] })),
        _ => reply(200, &json!({ "slots": [slot(OTHER, SlotState::Completed)] })),
    })
}

#[test]
fn without_a_terminal_one_look_is_printed() {
    let fake = played();
    // Standard output of tests is no terminal of this command's.
    let ran = run::<TopCommand>(&["--once", "--url", &fake.url], TopCommand::run);
    assert_eq!(ran.exit, Exit::Success, "{ran:?}");
    holds(&ran.out, &["ready", "9.00 GB of 12.00 GB", "6f1c2f5e █████", "0e7d3f6a completed"]);
    let ran = run::<TopCommand>(&["--json", "--url", &fake.url], TopCommand::run);
    let look: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(look["node"]["queue"]["capacity"], 64);
    assert_eq!((&look["open"][0]["id"], &look["recent"][0]["id"]), (&json!(ONE), &json!(OTHER)));
}

#[test]
fn a_node_that_cannot_be_asked_is_told_as_by_any_command() {
    let fake = Fake::start(|_| problem(403, "forbidden", "the token lacks read", 0, json!({})));
    let ran = run::<TopCommand>(&["--once", "--url", &fake.url], TopCommand::run);
    assert_eq!(ran.exit, Exit::BadInput);
    assert!(ran.err.contains("the token lacks read"), "{ran:?}");
}
