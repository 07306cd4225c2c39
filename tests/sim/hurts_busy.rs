//! Much to do at once: what is asked of the venue, and how it is written.

use quantum_trader::soak::{self, instruments_with};

use super::*;

#[test]
fn ban_on_default_settings() {
    // Everything about requests is as it comes, and the venue has its own limits.
    let site = Site { strict: true, ..Site::default() };
    let mut world = World::at(1, site, |_| fair()).unwrap();
    world.calm();
    let few = Dec::int(50);
    world.settings = Settings { max_position_usd: few, max_concurrent_trades: 4, ..settings(world.settings) };
    // Twenty minutes in which every signal is taken and every position closed as soon as it is there.
    while world.now < at(1_200_000) {
        for id in EACH {
            world.give(id, Action::Long).unwrap();
            pass(&mut world, 30);
            world.command(CommandKind::Close, id).unwrap();
        }
        world.command(CommandKind::Resume, BTC).unwrap();
    }
    assert_eq!(world.desk().turned_away(), (0, 0), "told to ask for less, or banned");
    let refusals = &world.desk().report().refusals;
    assert!(!refusals.contains_key(&-1003) && !refusals.contains_key(&-1015), "{refusals:?}");
    let orders = world.desk().report().orders;
    assert!(orders > 5_000, "{orders} orders are few");
}

/// Whether it is a plain decimal number with no more places than the grid has, and on the grid.
fn on_grid(text: &str, grid: &str) -> bool {
    let places = |text: &str| text.split_once('.').map_or(0, |(_, places)| places.len());
    let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let value = Dec::parse(text).map(|value| value.0 % Dec::parse(grid).unwrap().0);
    plain && places(text) <= places(grid) && value == Ok(0)
}

#[test]
fn tick_and_step_rounding_errors() {
    let grids = [
        [("0.1", "0.001"), ("0.05", "0.002"), ("0.00025", "3")],
        [("0.7", "0.0003"), ("0.0025", "0.05"), ("2.5", "0.0007")],
        [("0.000003", "1000"), ("0.03", "0.25"), ("0.2", "0.009")],
    ];
    let (mut quantities, mut prices) = (0, 0);
    for seed in 0..24 {
        let rows = grids[seed as usize % grids.len()];
        let site = Site { instruments: instruments_with(rows), strict: false };
        let mut world = World::at(seed, site, |dice| Weather::draw(START, 40 * NS_PER_SEC, dice)).unwrap();
        world.watch_door();
        world.run_until(world.weather.clears).unwrap();
        soak::finish(&mut world).unwrap();
        for asked in asked(&world, START).iter().filter(|asked| asked.places()) {
            let id = EACH.into_iter().find(|id| {
                world.instruments().get(*id).is_some_and(|row| row.symbol.as_str() == asked.params["symbol"])
            });
            let (tick, step) = rows[id.unwrap().index()];
            let quantity = &asked.params["quantity"];
            assert!(on_grid(quantity, step), "{quantity} in steps of {step}");
            quantities += 1;
            if let Some(price) = asked.params.get("triggerPrice") {
                assert!(on_grid(price, tick), "{price} in ticks of {tick}");
                prices += 1;
            }
        }
        // Precision, filters: what the venue says of numbers that it can't take.
        let refusals = &world.desk().report().refusals;
        assert!(![-1111, -4014, -4023, -1013].iter().any(|code| refusals.contains_key(code)), "{refusals:?}");
    }
    assert!(quantities > 200 && prices > 100, "{quantities} quantities, {prices} prices");
}

#[test]
fn what_is_no_number_of_the_grid() {
    for (text, grid) in
        [("0.15", "0.1"), ("1e-5", "0.00001"), ("0.30000000000000004", "0.1"), ("0.10", "0.1")]
    {
        assert!(!on_grid(text, grid), "{text}");
    }
    assert!(on_grid("12.5", "2.5") && on_grid("9", "3"));
}
