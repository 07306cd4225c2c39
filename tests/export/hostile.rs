//! Journals no engine writes, under right checksums: no panic, and every number as it is.

use proptest::prelude::*;
use quantum_trader::event::*;
use quantum_trader::num::{InstrumentId, TimeNs};

use super::journal_support::*;
use super::tables::exported;

/// A payload of this kind, all of whose fields mean something: bytes of 1, with `extremes` wherever the field takes
/// them.
fn payload(size: usize, extremes: &[[u8; 8]], is: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut bytes = vec![1; size];
    for (chunk, extreme) in (0..size / 8).zip(extremes.iter().cycle()) {
        let before = bytes.clone();
        bytes[chunk * 8..chunk * 8 + 8].copy_from_slice(extreme);
        if !is(&bytes) {
            bytes = before;
        }
    }
    bytes
}

fn extreme() -> impl Strategy<Value = [u8; 8]> {
    prop_oneof![
        Just([0xff; 8]),
        Just([0; 8]),
        Just(i64::MIN.to_le_bytes()),
        Just(i64::MAX.to_le_bytes()),
        Just(1i64.to_le_bytes()),
        (0..3i64).prop_map(|small| small.to_le_bytes()),
        any::<[u8; 8]>(),
    ]
}

/// Events and outputs of any kind, most of them of orders and fills.
fn step() -> impl Strategy<Value = Step> {
    let kinds = prop_oneof![
        3 => Just(30u16),
        3 => Just(31u16),
        2 => proptest::sample::select(EventBody::KINDS)
            .prop_map(|(kind, _)| kind)
            // Starts and changes of the settings begin segments, which say the same or are damaged.
            .prop_filter("not a segment's own", |kind| ![1, 49].contains(kind)),
    ];
    let outputs = prop_oneof![
        3 => Just(128u16),
        3 => proptest::sample::select(OutputBody::KINDS).prop_map(|(kind, _)| kind),
    ];
    let extremes = || proptest::collection::vec(extreme(), 1..7);
    let event = (kinds, extremes()).prop_map(|(kind, extremes)| {
        let size = EventBody::payload_size(kind).unwrap();
        let bytes = payload(size, &extremes, |bytes| EventBody::from_bytes(kind, bytes).is_some());
        EventBody::from_bytes(kind, &bytes).unwrap()
    });
    let output = (outputs, extremes()).prop_map(|(kind, extremes)| {
        let size = OutputBody::payload_size(kind).unwrap();
        let bytes = payload(size, &extremes, |bytes| OutputBody::from_bytes(kind, bytes).is_some());
        OutputBody::from_bytes(kind, &bytes).unwrap()
    });
    let instrument = prop_oneof![5 => Just(BTC), 1 => Just(InstrumentId(7)), 1 => Just(InstrumentId::NONE)];
    let outputs = proptest::collection::vec(output, 0..4);
    (any::<i64>(), instrument, event, outputs).prop_map(|(recv_ns, instrument, body, outputs)| Step {
        event: Event { recv_ns: TimeNs(recv_ns), instrument, body },
        outputs: outputs.into_iter().map(|body| Output { instrument, body }).collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_entry_has_its_row(steps in proptest::collection::vec(step(), 1..60)) {
        let start = Event { recv_ns: TimeNs(0), instrument: BTC, body: EventBody::Instrument(btcusdt()) };
        let steps: Vec<Step> = [Step { event: start, outputs: vec![] }].into_iter().chain(steps).collect();
        let dir = tempfile::tempdir().unwrap();
        write_archive(dir.path(), &records(&steps), 1_000);
        let (report, tables) = exported(dir.path(), &dir.path().join("out"));
        prop_assert_eq!(report.problem, None);
        let outputs = || steps.iter().flat_map(|step| &step.outputs);
        let count = |name: &str| outputs().filter(|output| output.body.name() == name).count();
        prop_assert_eq!(tables["events"].len(), steps.len() + outputs().count());
        prop_assert_eq!(tables["orders"].len(), count("Order"));
        prop_assert_eq!(tables["decisions"].len(), count("Decision"));
        prop_assert_eq!(tables["trades"].len(), count("TradeClosed"));
        prop_assert_eq!(tables["equity"].len(), count("Equity"));
        prop_assert_eq!(tables["bars"].len(), count("BarClosed"));
        let fills = steps.iter().filter(|step| step.event.body.name() == "Fill").count();
        prop_assert_eq!(tables["fills"].len(), fills);
        // Money is told as it is, whatever it is.
        let pnl: Vec<String> = outputs().filter_map(|output| match &output.body {
            OutputBody::TradeClosed(closed) => Some(closed.pnl.to_string()),
            _ => None,
        }).collect();
        prop_assert_eq!(tables["trades"].column("pnl"), pnl);
    }
}

#[test]
fn the_ends_of_every_number_are_told() {
    use quantum_trader::num::{Dec, Lots, Ticks};

    // The last decimals a Parquet file has room for, and the first it has none for.
    let most = Dec(10i128.pow(38) - 1);
    for (value, beyond) in
        [(most, 0), (Dec(-most.0), 0), (Dec(most.0 + 1), 1), (Dec(i128::MIN), 1), (Dec::MAX, 1)]
    {
        let OutputBody::TradeClosed(closed) = trade_closed() else { unreachable!() };
        let (best, quantity) = (Ticks(i64::MAX), Lots(i64::MIN));
        let closed = TradeClosed { pnl: value, best, quantity, opened_ns: TimeNs(i64::MIN), ..closed };
        let mut steps = sample(1);
        steps[2].outputs = vec![Output { instrument: BTC, body: OutputBody::TradeClosed(closed) }];
        let dir = tempfile::tempdir().unwrap();
        write_archive(dir.path(), &records(&steps), 1_000);
        let (report, tables) = exported(dir.path(), &dir.path().join("out"));
        let row = tables["trades"].row(0);
        assert_eq!(row["pnl"], value.to_string());
        assert_eq!((row["best"], row["quantity"]), ("922337203685477580.7", "-9223372036854775.808"));
        assert_eq!(row["opened_ns"], "-9223372036854775808");
        let left_out: u64 = report.tables["trades"].files.iter().map(|file| file.decimals_left_out).sum();
        assert_eq!(left_out, if cfg!(feature = "export") { beyond } else { 0 }, "{value}");
    }
}
