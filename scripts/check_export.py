"""Exported tables (Parquet, read by DuckDB and pyarrow) against the summary of their run."""

import json
import sys
from decimal import Decimal

import duckdb
import pyarrow.parquet as parquet

summary_path, tables = sys.argv[1:]
with open(summary_path) as file:
    summary = json.load(file, parse_float=Decimal)
db = duckdb.connect()
for name in ("events", "decisions", "orders", "fills", "trades", "equity", "bars"):
    db.sql(f"create view {name} as select * from '{tables}/{name}.parquet'")
    db.sql(f"create view {name}_csv as select * from read_csv('{tables}/{name}.csv', all_varchar = true)")

differences = 0


def check(name, found, expected):
    global differences
    same = found == expected
    differences += not same
    print(f"{'ok  ' if same else 'DIFF'} {name:<44} {found}" + ("" if same else f"   summary: {expected}"))


def one(query):
    return db.sql(query).fetchall()[0][0]


def counts(query):
    return dict(db.sql(query).fetchall())


def total(column):
    return Decimal(one(f"select coalesce(sum({column}), 0) from trades"))


check("events", one("select count(*) from events where not output"), summary["events"])
check("decisions", one("select count(*) from decisions"), summary["signals"])
check("approved", one("select count(*) from decisions where approved"), summary["approved"])
check("rejected, by rule", counts("select rule, count(*) from decisions where not approved group by 1"), summary["rejected"])
check("orders", one("select count(*) from orders"), summary["orders"])
check("stops placed", one("select count(*) from orders where kind = 'StopMarket'"), summary["stops_placed"])
check(
    "stops refused",
    one("select count(*) from orders where purpose = 'Stop' and state = 'Rejected'"),
    summary["stops_refused"],
)
check("fills", one("select count(*) from fills"), summary["fills"])
check("fills applied", one("select count(*) from fills where applied"), summary["fills"])
check("trades closed", one("select count(*) from trades"), summary["trades_closed"])
check("trades long", one("select count(*) from trades where side = 'LONG'"), summary["trades_long"])
check("trades, by end state", counts("select state, count(*) from trades group by 1"), summary["trades_by_state"])
wins = one("select count(*) from trades where pnl > 0")
rate = summary["win_rate"]
check("wins", wins, round((rate or 0) * summary["trades_closed"]))
check("realised pnl", total("pnl"), Decimal(summary["realized_pnl"]))
check("fees", total("fees"), Decimal(summary["fees"]))
check("slippage", total("slippage"), Decimal(summary["slippage"]))
check("bars", one("select count(*) + sum(flat_before) from bars"), sum(i["bars"] for i in summary["instruments"].values()))
per = {s: Decimal(i["realized_pnl"]) for s, i in summary["instruments"].items() if i["trades_closed"]}
check("pnl, by instrument", counts("select symbol, sum(pnl) from trades group by 1"), per)

print("-- tables among each other")
accounts = """
    select count(*) from trades t join (
        select trade, sum(coalesce(realised, 0)) realised, sum(fee) fee from fills where applied group by 1
    ) f using (trade)
    where t.pnl = f.realised - f.fee + t.funding and t.fees = f.fee"""
check("trades whose fills are their account", one(accounts), summary["trades_closed"])
check(
    "orders filled as their fills say",
    one("""select count(*) from orders o left join (
            select "order", sum(quantity) quantity, sum(fee) fee from fills where applied group by 1) f using ("order")
        where o.filled = coalesce(f.quantity, 0) and o.fees = coalesce(f.fee, 0)"""),
    summary["orders"],
)
check("approvals that are an entry", one("select count(*) from decisions d join orders o on o.order = d.trade"), summary["approved"])
for name in ("decisions", "orders", "fills", "trades", "equity", "bars"):
    rows = one(f"select count(*) from {name}")
    decimals = [c for c, t, *_ in db.sql(f"describe {name}").fetchall() if t == "DECIMAL(38,18)"]
    same = " and ".join(f"p.{c} is not distinct from c.{c}::decimal(38,18)" for c in decimals)
    match = f"select count(*) from {name} p join {name}_csv c on p.sequence = c.sequence::bigint and {same}"
    check(f"{name}: rows whose decimals are the CSV's", one(match), rows)

print("-- pyarrow")
for name in ("events", "trades"):
    table = parquet.read_table(f"{tables}/{name}.parquet")
    table.validate(full=True)
    check(f"{name}: rows", table.num_rows, one(f"select count(*) from {name}"))
    check(f"{name}: recv_ns", str(table.schema.field("recv_ns").type), "timestamp[ns, tz=UTC]")
pnl = parquet.read_table(f"{tables}/trades.parquet")["pnl"]
check("pnl", str(pnl.type), "decimal128(38, 18)")
check("sum of pnl", sum(pnl.to_pylist(), Decimal(0)), Decimal(summary["realized_pnl"]))
check("payloads are JSON", one("select count(*) from events where json_valid(payload)"), one("select count(*) from events"))

print(f"check-export: {differences} differences" if differences else "check-export: the tables are the run's")
sys.exit(1 if differences else 0)
