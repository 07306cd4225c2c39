//! Small journals written by hand: what becomes of each kind of order and fill.

use std::path::Path;

use quantum_trader::event::*;
use quantum_trader::export::{ExportError, Format, Range, Table, export};
use quantum_trader::journal::Folder;
use quantum_trader::num::{Dec, InstrumentId, Lots, OrderId, Side, Ticks, TimeNs};
use tempfile::TempDir;

use super::journal_support::*;
use super::tables::{Rows, exported, options, read_csv};

const SECOND: i64 = 1_000_000_000;

fn id(sequence: u32) -> OrderId {
    OrderId::new(IDENTITY.epoch, sequence)
}

/// A journal being written down: an event a second, each with its outputs.
struct Story {
    steps: Vec<Step>,
}

impl Story {
    fn new() -> Story {
        let mut story = Story { steps: Vec::new() };
        story.event(InstrumentId::NONE, run_start(), &[]);
        story.event(BTC, EventBody::Instrument(btcusdt()), &[]);
        story
    }

    fn event(&mut self, instrument: InstrumentId, body: EventBody, outputs: &[OutputBody]) -> &mut Story {
        let recv_ns = TimeNs(self.steps.len() as i64 * SECOND);
        let outputs = outputs.iter().map(|body| Output { instrument, body: *body }).collect();
        self.steps.push(Step { event: Event { recv_ns, instrument, body }, outputs });
        self
    }

    /// Orders sent at a quote.
    fn send(&mut self, orders: &[Order]) -> &mut Story {
        let outputs: Vec<_> = orders.iter().map(|order| OutputBody::Order(*order)).collect();
        self.event(BTC, quote(1), &outputs)
    }

    fn word(&mut self, order: u32, status: OrderStatus, filled: i64, code: i32) -> &mut Story {
        let update = OrderUpdate {
            order: id(order),
            venue_id: 900 + i64::from(order),
            filled: Lots(filled),
            event_ms: 1,
            code,
            status,
            pad: [0; 3],
        };
        self.event(BTC, EventBody::OrderUpdate(update), &[])
    }

    fn fill(&mut self, fill: Fill) -> &mut Story {
        self.event(BTC, EventBody::Fill(fill), &[])
    }

    /// Writes it down, and exports it.
    fn told(&mut self) -> (TempDir, std::collections::BTreeMap<&'static str, Rows>) {
        let dir = tempfile::tempdir().unwrap();
        write_archive(dir.path(), &records(&self.steps), 100);
        let (report, tables) = exported(dir.path(), &dir.path().join("out"));
        assert_eq!(report.problem, None);
        for (name, rows) in &tables {
            assert_eq!(report.tables[name].rows, rows.len() as u64);
        }
        (dir, tables)
    }
}

fn entry(order: u32, lots: i64) -> Order {
    let OutputBody::Order(sent) = super::journal_support::order(order) else { unreachable!() };
    Order { quantity: Lots(lots), ..sent }
}

fn stop(order: u32, trade: u32, lots: i64) -> Order {
    Order {
        trade: id(trade),
        trigger: Ticks(600_000),
        reference: Ticks(639_439),
        side: Side::Sell,
        kind: OrderKind::StopMarket,
        purpose: Purpose::Stop,
        reduce_only: true,
        ..entry(order, lots)
    }
}

fn fill(order: u32, trade_id: i64, side: Side, price: i64, lots: i64) -> Fill {
    Fill {
        order: id(order),
        trade_id,
        fee: Dec::new(3, 2),
        price: Ticks(price),
        quantity: Lots(lots),
        event_ms: 5,
        side,
        maker: false,
        cause: FillCause::Order,
        pad: [0; 5],
    }
}

#[test]
fn an_order_is_told_from_its_sending_to_its_end() {
    let mut story = Story::new();
    story.send(&[entry(1, 10)]).word(1, OrderStatus::Accepted, 0, 0);
    story.fill(fill(1, 70, Side::Buy, 640_000, 4)).fill(fill(1, 71, Side::Buy, 641_000, 6));
    story.word(1, OrderStatus::Filled, 10, 0).send(&[stop(2, 1, 10)]).word(2, OrderStatus::Accepted, 0, 0);
    story.event(
        BTC,
        quote(2),
        &[OutputBody::Cancel(Cancel { id: id(2), kind: OrderKind::StopMarket, pad: [0; 7] })],
    );
    story.word(2, OrderStatus::CancelRejected, 0, -2011).word(2, OrderStatus::Canceled, 0, 0);
    let (_dir, tables) = story.told();
    let orders = &tables["orders"];
    assert_eq!(orders.len(), 2);
    let first = orders.row(0);
    for (column, value) in [
        ("sequence", "5"),
        ("sent_ns", "2000000000"),
        ("symbol", "BTCUSDT"),
        ("order", "qt-00000007-00000001"),
        ("trade", "qt-00000007-00000001"),
        ("purpose", "Entry"),
        ("side", "BUY"),
        ("kind", "Market"),
        ("quantity", "0.01"),
        ("trigger", ""),
        ("working_type", ""),
        ("reference", "63943.9"),
        ("reduce_only", "false"),
        ("acknowledged_ns", "3000000000"),
        ("cancel_ns", ""),
        ("ended_ns", "6000000000"),
        ("state", "Filled"),
        ("filled", "0.01"),
        ("average_price", "64060"),
        ("fees", "0.06"),
        ("code", ""),
        ("venue_id", "901"),
    ] {
        assert_eq!(first[column], value, "{column}");
    }
    let second = orders.row(1);
    for (column, value) in [
        ("purpose", "Stop"),
        ("trigger", "60000"),
        ("working_type", "ContractPrice"),
        ("cancel_ns", "9000000000"),
        ("ended_ns", "11000000000"),
        ("state", "Canceled"),
        ("filled", "0"),
        ("average_price", ""),
        ("code", ""),
    ] {
        assert_eq!(second[column], value, "{column}");
    }
    let fills = &tables["fills"];
    assert_eq!(fills.column("price"), ["64000", "64100"]);
    assert_eq!(fills.column("notional"), ["256", "384.6"]);
    assert_eq!(fills.column("realised"), ["", ""]);
}

#[test]
fn results_are_by_average_cost_and_add_up() {
    let mut story = Story::new();
    story.send(&[entry(1, 3)]);
    story.fill(fill(1, 1, Side::Buy, 500_000, 1)).fill(fill(1, 2, Side::Buy, 500_001, 2));
    story.send(&[stop(2, 1, 3)]);
    story.fill(fill(2, 3, Side::Sell, 510_000, 1)).fill(fill(2, 4, Side::Sell, 510_000, 2));
    let (_dir, tables) = story.told();
    // Cost 150.0002 of three lots; a third of it is 50.00006667 at the eighth place, and the last part takes the rest.
    assert_eq!(tables["fills"].column("realised"), ["", "", "0.99993333", "1.99986667"]);
    assert_eq!(tables["fills"].sum("realised"), Dec::new(29998, 4));
}

#[test]
fn what_the_engine_does_not_book_is_told_and_not_applied() {
    let mut story = Story::new();
    story.send(&[entry(1, 10)]);
    story.fill(fill(1, 70, Side::Buy, 640_000, 4));
    story.fill(fill(1, 70, Side::Buy, 640_000, 4)); // again
    story.fill(fill(1, 71, Side::Sell, 640_000, 1)); // the other side
    story.fill(fill(9, 73, Side::Buy, 640_000, 1)); // nobody's
    story.fill(fill(1, 74, Side::Buy, 640_000, 6));
    story.fill(fill(1, 72, Side::Buy, 640_000, 7)); // more than is left
    let forced = Fill { order: OrderId::NONE, cause: FillCause::Adl, ..fill(0, 75, Side::Sell, 650_000, 10) };
    story.fill(forced).fill(Fill { trade_id: 76, ..forced });
    let (_dir, tables) = story.told();
    let fills = &tables["fills"];
    assert_eq!(
        fills.column("applied"),
        ["true", "false", "false", "false", "true", "false", "true", "false"],
        "nothing is left for the last one"
    );
    let trade = "qt-00000007-00000001";
    assert_eq!(fills.column("trade"), [trade, trade, trade, "", trade, trade, trade, ""]);
    assert_eq!(fills.column("order")[6..], ["", ""]);
    assert_eq!(fills.column("cause")[6], "Adl");
    assert_eq!(fills.column("realised"), ["", "", "", "", "", "", "10", ""]);
    let order = tables["orders"].row(0);
    assert_eq!((order["filled"], order["state"], order["fees"]), ("0.01", "Sent", "0.06"));
}

#[test]
fn refused_unanswered_and_absent_orders_say_so() {
    let unknown = |order| {
        let alarm = Alarm { order: id(order), value: 5 * SECOND, kind: AlarmKind::UnknownOrder, pad: [0; 7] };
        [OutputBody::Alarm(alarm)]
    };
    let mut story = Story::new();
    story.send(&[entry(1, 10), entry(2, 10), entry(3, 10), entry(4, 10), entry(5, 10)]);
    story.word(1, OrderStatus::Rejected, 0, -2019);
    story.event(BTC, quote(2), &unknown(2));
    story.word(3, OrderStatus::NotFound, 0, -2013); // too early to mean anything
    story.word(4, OrderStatus::Canceled, 2, 0).fill(fill(4, 70, Side::Buy, 640_000, 2));
    while story.steps.len() < 63 {
        story.event(BTC, quote(3), &[]);
    }
    story.word(3, OrderStatus::NotFound, 0, -2013);
    let (_dir, tables) = story.told();
    let orders = &tables["orders"];
    let sequences: Vec<u32> =
        orders.column("order").iter().map(|id| id.rsplit_once('-').unwrap().1.parse().unwrap()).collect();
    assert_eq!(sequences, [1, 4, 3, 2, 5], "as they ended, then those still open");
    assert_eq!(orders.column("state"), ["Rejected", "Canceled", "Rejected", "Unknown", "Sent"]);
    assert_eq!(orders.column("code"), ["-2019", "", "-2013", "", ""]);
    assert_eq!(orders.column("filled"), ["0", "0.002", "0", "0", "0"]);
    assert_eq!(orders.column("ended_ns")[2..], ["63000000000", "", ""]);
}

#[test]
fn an_order_no_engine_sends_is_told_and_not_followed() {
    let mut story = Story::new();
    let (low, high) = (Ticks(i64::MIN), Ticks(i64::MAX));
    story.send(&[entry(1, 10), entry(2, i64::MAX), Order { reference: low, trade: id(1), ..entry(3, 10) }]);
    story.send(&[entry(1, 4), Order { trigger: high, ..stop(4, 1, 10) }]);
    story.fill(fill(1, 70, Side::Buy, 640_000, 10)).fill(fill(2, 71, Side::Buy, 640_000, 10));
    story.word(2, OrderStatus::Filled, i64::MIN, 0).word(1, OrderStatus::Filled, i64::MAX, 0);
    let (_dir, tables) = story.told();
    assert_eq!(tables["orders"].column("state"), ["Sent", "Sent", "Sent", "Sent", "Filled"]);
    assert_eq!(tables["orders"].column("quantity")[0], "9223372036854775.807");
    assert_eq!(tables["orders"].column("quantity")[4], "0.01", "the first of that id");
    assert_eq!(tables["fills"].column("applied"), ["true", "false"]);
}

#[test]
fn decisions_have_what_was_approved_or_why_not() {
    let approved = Decision {
        observed: Dec::int(1_500),
        threshold: Dec::int(10_000),
        digest: 0xabc,
        order: id(1),
        quantity: Lots(10),
        price: Ticks(500_000),
        stop: Ticks(477_500),
        target: Ticks(556_250),
        confidence_ppm: 750_000,
        risk_multiplier_ppm: 1_000_000,
        rule: Rule::None,
        side: Side::Buy,
        consensus: Consensus::Strong,
        approved: true,
        pad: [0; 4],
    };
    let rejected = Decision {
        observed: Dec::new(15, 1),
        threshold: Dec::new(1, 0),
        order: OrderId::NONE,
        quantity: Lots::ZERO,
        price: Ticks(0),
        stop: Ticks(0),
        target: Ticks(0),
        rule: Rule::Spread,
        side: Side::Sell,
        approved: false,
        ..approved
    };
    let mut story = Story::new();
    story.event(BTC, quote(1), &[OutputBody::Decision(approved), OutputBody::Decision(rejected)]);
    let (_dir, tables) = story.told();
    let none = ["price", "trade", "quantity", "stop", "target", "notional", "risk", "atr", "equity"];
    let (first, second) = (tables["decisions"].row(0), tables["decisions"].row(1));
    for (column, value) in [
        ("side", "LONG"),
        ("approved", "true"),
        ("rule", ""),
        ("observed", ""),
        ("threshold", ""),
        ("consensus", "STRONG"),
        ("confidence", "0.75"),
        ("risk_multiplier", "1"),
        ("price", "50000"),
        ("trade", "qt-00000007-00000001"),
        ("quantity", "0.01"),
        ("stop", "47750"),
        ("target", "55625"),
        ("notional", "500"),
        ("risk", "22.5"),
        ("atr", "1500"),
        ("equity", "10000"),
        ("digest", "0000000000000abc"),
    ] {
        assert_eq!(first[column], value, "{column}");
    }
    assert_eq!((second["side"], second["rule"]), ("SHORT", "spread"));
    assert_eq!((second["observed"], second["threshold"]), ("1.5", "1"));
    none.iter().for_each(|column| assert_eq!(second[column], "", "{column}"));
}

#[test]
fn a_range_chooses_rows_and_orders_stand_as_they_stood_at_its_end() {
    let mut story = Story::new();
    story.send(&[entry(1, 10)]).word(1, OrderStatus::Accepted, 0, 0).send(&[entry(2, 10)]);
    story.word(2, OrderStatus::Rejected, 0, -1).word(1, OrderStatus::Canceled, 0, 0);
    let dir = tempfile::tempdir().unwrap();
    write_archive(dir.path(), &records(&story.steps), 100);
    let taken = |name: &str, range: Range| {
        let options = quantum_trader::export::Options { range, ..options(&dir.path().join(name)) };
        let report = export(dir.path(), &options, |_, _| {}).unwrap();
        let orders = read_csv(&dir.path().join(name).join("orders.csv"));
        let states: Vec<_> = orders.column("state").iter().map(|state| state.to_string()).collect();
        (states.join(" "), report.tables["events"].rows)
    };
    let all = Range::default();
    // Records: RunStart 1, Instrument 2 and 3, quote 4, order 5, word 6, quote 7, order 8, words 9 and 10.
    assert_eq!(taken("all", all), ("Rejected Canceled".to_string(), 9));
    assert_eq!(taken("to", Range { to_sequence: Some(7), ..all }), ("Working".to_string(), 6));
    assert_eq!(taken("from", Range { from_sequence: 6, ..all }), ("Rejected".to_string(), 5));
    assert_eq!(taken("late", Range { from: Some(TimeNs(4 * SECOND)), ..all }), ("Rejected".to_string(), 4));
    assert_eq!(taken("early", Range { to: Some(TimeNs(4 * SECOND)), ..all }), ("Working".to_string(), 5));
    assert_eq!(taken("past", Range { from_sequence: 100, ..all }), (String::new(), 0));
}

#[test]
fn nothing_is_overwritten_unless_asked_and_nothing_half_done_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    write_archive(dir.path(), &records(&sample(3)), 100);
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("fills.csv"), "mine").unwrap();
    let csv = quantum_trader::export::Options { format: Format::Csv, ..options(&out) };
    let error = export(dir.path(), &csv, |_, _| {}).unwrap_err();
    assert!(matches!(error, ExportError::Exists { .. }));
    assert_one_line(&error.to_string(), "fills.csv: is there already; --force replaces it");
    assert_eq!(names(&out), ["fills.csv"]);
    let some = quantum_trader::export::Options { tables: vec![Table::Trades, Table::Trades], ..csv.clone() };
    assert_eq!(export(dir.path(), &some, |_, _| {}).unwrap().tables["trades"].files.len(), 1);
    let forced = quantum_trader::export::Options { force: true, ..csv };
    export(dir.path(), &forced, |_, _| {}).unwrap();
    assert_eq!(names(&out).len(), Table::ALL.len());
    assert!(std::fs::read_to_string(out.join("fills.csv")).unwrap().starts_with("sequence,"));

    // A folder where a file should be: the export fails at the end, and takes its files away.
    let other = dir.path().join("other");
    std::fs::create_dir_all(other.join("bars.csv/x")).unwrap();
    let blocked = quantum_trader::export::Options { to: other.clone(), ..forced };
    let error = export(dir.path(), &blocked, |_, _| {}).unwrap_err();
    assert_one_line(&error.to_string(), "bars.csv: can't rename to");
    assert!(names(&other).iter().all(|name| !name.ends_with(".part")), "{:?}", names(&other));
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn damage_ends_an_export_after_what_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut written = records(&sample(30));
    let whole = written.len() - 5;
    written[whole].payload[0] ^= 1;
    write_archive(dir.path(), &written, 100);
    let (report, tables) = exported(dir.path(), &dir.path().join("out"));
    let problem = report.problem.unwrap();
    assert_one_line(&problem, "segment-000001.qtj: byte ");
    assert!(problem.contains(&format!("sequence {}", whole + 1)), "{problem}");
    assert_eq!((report.last_sequence, report.ended), (whole as u64, false));
    assert_eq!(tables["events"].column("sequence").last(), Some(&whole.to_string().as_str()));
    #[cfg(feature = "export")]
    {
        let notes = super::tables::parquet::notes(&dir.path().join("out/trades.parquet"));
        assert_eq!((notes["problem"].as_str(), notes["ended"].as_str()), (problem.as_str(), "false"));
    }
}

#[test]
fn a_cut_journal_is_exported_to_its_last_whole_entry() {
    let dir = tempfile::tempdir().unwrap();
    // The order of the third quote is there, and what commits it is not.
    let written = records(&sample(3));
    write_archive(dir.path(), &written[..7], 100);
    let (report, tables) = exported(dir.path(), &dir.path().join("whole"));
    assert_eq!((report.problem, report.ended, report.live), (None, false, false));
    assert_eq!((report.last_sequence, report.committed_sequence), (7, 5));
    assert_eq!(tables["orders"].column("state"), ["Sent"]);
    assert_eq!(tables["events"].column("commit").last(), Some(&"false"));

    let segment =
        std::fs::OpenOptions::new().write(true).open(dir.path().join("segment-000001.qtj")).unwrap();
    segment.set_len(128 * 7 + 50).unwrap();
    let (report, _) = exported(dir.path(), &dir.path().join("torn"));
    assert_one_line(&report.problem.unwrap(), "segment-000001.qtj");
    assert_eq!(report.last_sequence, 6);
}

#[test]
fn a_journal_that_is_being_written_is_exported_up_to_now() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::create(dir.path()).unwrap();
    let mut ring = folder.create_ring(None, 4_096, &IDENTITY).unwrap();
    for step in &sample(30)[..20] {
        ring.append_event(&step.event).unwrap();
        ring.append_outputs(step.event.recv_ns, &step.outputs).unwrap();
    }
    let (report, tables) = exported(dir.path(), &dir.path().join("now"));
    assert_eq!((report.problem, report.ended, report.live), (None, false, true));
    assert_eq!(report.last_sequence, ring.next_sequence() - 1);
    assert_eq!((tables["events"].len(), tables["trades"].len()), (20 + 2 * 6, 6));
    drop(folder);
}

#[test]
fn the_same_journal_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    write_archive(dir.path(), &records(&sample(50)), 100);
    let bytes = |name: &str| {
        exported(dir.path(), &dir.path().join(name));
        names(&dir.path().join(name))
            .iter()
            .map(|file| std::fs::read(dir.path().join(name).join(file)).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(bytes("a"), bytes("b"));
}
