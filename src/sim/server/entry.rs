//! Order entry: from parameters to instructions, and from the venue's reports to answers and the user
//! stream.

use super::book::{Book, Record, TradeRow, Waiting};
use super::calls::{Answer, Operation, Reply};
use super::config::Stops;
use super::core::Core;
use super::params::Params;
use super::refusal::{
    BAD_POSITION_SIDE, BAD_PRECISION, BAD_SIDE, CLOSE_POSITION_WITH_QUANTITY,
    CLOSE_POSITION_WITH_REDUCE_ONLY, Refusal,
};
use super::render;
use crate::event::{
    AccountReason, AccountUpdate, Cancel, Fill, Instruction, Instrument, Order, OrderKind, OrderStatus,
    OrderUpdate, Purpose, Query, VenuePosition, WorkingType,
};
use crate::num::{InstrumentId, Lots, OrderId, Side, Ticks};
use crate::sim::venue::{Asked, OrderReport, Report, ReportBody, codes};
use crate::venue::binance::code;

/// Types that moved to the algo service.
const CONDITIONAL: [&str; 5] =
    ["STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"];

/// What an order request asks for.
struct Request {
    instrument: InstrumentId,
    order: Order,
    close_position: bool,
}

impl Core {
    /// Takes an order: refused here, or on its way to the venue.
    pub(super) fn place(&mut self, operation: Operation, params: &Params, reply: Reply) {
        self.clients.report.orders += 1;
        self.note_client_id(operation, params);
        let request = match self.read_order(operation, params) {
            Ok(request) => request,
            Err(refusal) => return self.answer_instruction(operation, reply, Err(refusal)),
        };
        let Request { instrument, order, close_position } = request;
        if order.kind == OrderKind::StopMarket {
            match self.faults.stops() {
                Stops::Accept => {}
                Stops::Refuse => {
                    let refusal = Refusal::of(code::PERCENT_PRICE);
                    return self.answer_instruction(operation, reply, Err(refusal));
                }
                Stops::Swallow => return self.hold(reply),
            }
        }
        self.book.place(order.id, instrument, Waiting { reply, operation, close_position });
        self.exchange.link().send(self.now, instrument, Instruction::Order(order));
    }

    pub(super) fn cancel(&mut self, operation: Operation, params: &Params, reply: Reply) {
        self.clients.report.cancels += 1;
        match self.read_target(operation, params) {
            Ok((instrument, id)) => self.send_cancel(instrument, id, operation, reply),
            Err(refusal) => self.answer_instruction(operation, reply, Err(refusal)),
        }
    }

    fn send_cancel(&mut self, instrument: InstrumentId, id: OrderId, operation: Operation, reply: Reply) {
        let kind = kind_of(operation);
        self.book.wait(id, Asked::Cancel, Waiting { reply, operation, close_position: false });
        let cancel = Instruction::Cancel(Cancel { id, kind, pad: [0; 7] });
        self.exchange.link().send(self.now, instrument, cancel);
    }

    pub(super) fn query(&mut self, operation: Operation, params: &Params, reply: Reply) {
        self.clients.report.queries += 1;
        match self.read_target(operation, params) {
            Ok((instrument, id)) => {
                let kind = kind_of(operation);
                self.book.wait(id, Asked::Query, Waiting { reply, operation, close_position: false });
                let query = Instruction::Query(Query { id, kind, pad: [0; 7] });
                self.exchange.link().send(self.now, instrument, query);
            }
            Err(refusal) => self.answer_instruction(operation, reply, Err(refusal)),
        }
    }

    /// Cancels the open orders of a symbol: the resting conditional ones, or all others.
    pub(super) fn cancel_open(&mut self, params: &Params, resting: bool) -> Answer {
        let (instrument, _) = self.symbol(params)?;
        let open = self.book.open(resting).filter(|record| record.instrument == instrument);
        let ids: Vec<OrderId> = open.map(|record| record.order.id).collect();
        let operation = if resting { Operation::CancelAlgoOrder } else { Operation::CancelOrder };
        ids.into_iter().for_each(|id| self.send_cancel(instrument, id, operation, Reply::Nobody));
        Ok(r#"{"code":200,"msg":"The operation of cancel all open order is done."}"#.to_string())
    }

    /// The instrument of `symbol`.
    pub(super) fn symbol(&self, params: &Params) -> Result<(InstrumentId, Instrument), Refusal> {
        let name = params.need("symbol")?;
        let id = self.instruments.find(name).ok_or_else(|| Refusal::of(codes::BAD_SYMBOL))?;
        let row = self.instruments.get(id).ok_or_else(|| Refusal::of(codes::BAD_SYMBOL))?;
        Ok((id, *row))
    }

    fn read_order(&mut self, operation: Operation, params: &Params) -> Result<Request, Refusal> {
        let (instrument, row) = self.symbol(params)?;
        let side = match params.need("side")? {
            "BUY" => Side::Buy,
            "SELL" => Side::Sell,
            _ => return Err(Refusal::of(BAD_SIDE)),
        };
        if params.get("positionSide").is_some_and(|side| side != "BOTH") {
            return Err(Refusal::of(BAD_POSITION_SIDE));
        }
        let kind = read_kind(operation, params)?;
        let close_position = kind == OrderKind::StopMarket && params.flag("closePosition")?;
        let reduce_only = params.flag("reduceOnly")?;
        let quantity = if close_position {
            check_close_position(params, reduce_only)?;
            row.max_quantity.min(Lots::QUANTITY_MAX)
        } else {
            let text = params.need("quantity")?.as_bytes();
            row.parse_quantity(text).map_err(|_| Refusal::of(BAD_PRECISION))?
        };
        let trigger = match kind {
            OrderKind::Market => Ticks::ZERO,
            OrderKind::StopMarket => {
                let text = params.need("triggerPrice")?.as_bytes();
                row.parse_price(text).map_err(|_| Refusal::of(BAD_PRECISION))?
            }
        };
        let order = Order {
            id: self.read_new_id(operation, params)?,
            trade: OrderId::NONE,
            quantity,
            trigger,
            reference: Ticks::ZERO,
            side,
            kind,
            // What it is for the venue neither knows nor asks.
            purpose: if kind == OrderKind::StopMarket { Purpose::Stop } else { Purpose::Entry },
            working_type: read_working_type(params)?,
            reduce_only: reduce_only || close_position,
            pad: [0; 3],
        };
        Ok(Request { instrument, order, close_position })
    }

    /// Whether an order was asked for under this id before, whatever became of it.
    fn note_client_id(&mut self, operation: Operation, params: &Params) {
        let given = params.get(new_id_name(operation)).filter(|text| Book::is_client_id(text));
        if let Some(client_id) = given.filter(|text| self.book.note_request(text)) {
            self.audit.note_again(client_id);
        }
    }

    fn read_new_id(&mut self, operation: Operation, params: &Params) -> Result<OrderId, Refusal> {
        let client_id = match params.get(new_id_name(operation)) {
            Some(text) if Book::is_client_id(text) => text.to_owned(),
            Some(_) => return Err(Refusal::of(codes::BAD_CLIENT_ORDER_ID)),
            None => self.book.make_client_id(),
        };
        self.book.intern(&client_id).ok_or_else(|| Refusal::of(codes::TOO_MANY_ORDERS))
    }

    /// The order a cancel or a query is about: by the venue's id or the client's.
    fn read_target(
        &mut self,
        operation: Operation,
        params: &Params,
    ) -> Result<(InstrumentId, OrderId), Refusal> {
        let algo = matches!(operation, Operation::CancelAlgoOrder | Operation::QueryAlgoOrder);
        let (by_venue, by_client) =
            if algo { ("algoId", "clientAlgoId") } else { ("orderId", "origClientOrderId") };
        let unknown = || {
            let cancels = matches!(operation, Operation::CancelAlgoOrder | Operation::CancelOrder);
            Refusal::of(if cancels { code::CANCEL_REJECTED } else { code::NO_SUCH_ORDER })
        };
        let id = match (params.integer(by_venue)?, params.get(by_client)) {
            (Some(venue_id), _) => self.book.of_venue_id(venue_id).ok_or_else(unknown)?,
            (None, Some(text)) if Book::is_client_id(text) => self.book.intern(text).ok_or_else(unknown)?,
            (None, Some(_)) => return Err(unknown()),
            (None, None) => return Err(Refusal::missing(by_venue)),
        };
        if algo && params.get("symbol").is_none() {
            // Conditional orders are named without their symbol; the venue finds none it never had.
            return Ok((self.book.instrument(id).unwrap_or(InstrumentId(0)), id));
        }
        Ok((self.symbol(params)?.0, id))
    }

    /// A report arrives: the record is brought up to date, whoever asked is answered, the user stream
    /// tells it.
    pub(super) fn deliver(&mut self, report: &Report) {
        self.audit.take(report);
        match &report.body {
            ReportBody::Order(order) => self.deliver_order(report, order),
            ReportBody::Account { update, position } => {
                self.deliver_account(report.instrument, update, position.as_ref());
            }
            ReportBody::Answer(update) => self.deliver_answer(report, update),
        }
    }

    fn deliver_order(&mut self, report: &Report, order: &OrderReport) {
        let id = order.order.id;
        let waiting = report.answers.and_then(|asked| self.book.answered(id, asked));
        let close_position = waiting.as_ref().is_some_and(|waiting| waiting.close_position);
        match report.forced() {
            Some(fill) => {
                self.book.add_forced(report.instrument, order, &render::user_stream::forced_id(fill))
            }
            None => self.book.update(report.instrument, order, close_position),
        }
        let Some(row) = self.instruments.get(report.instrument).copied() else { return };
        if let Some(waiting) = waiting {
            let record = self.book.record(id);
            let answer = record.map_or_else(
                || Err(Refusal::of(code::NO_SUCH_ORDER)),
                |record| Ok(render::orders::response(waiting.operation, record, &row)),
            );
            self.answer_instruction(waiting.operation, waiting.reply, answer);
        }
        let realised = self.realised;
        if let Some(fill) = order.fill {
            let venue_id = order.venue_id;
            self.book.add_trade(TradeRow { instrument: report.instrument, venue_id, fill, realised });
        }
        let messages = match self.book.record(id) {
            Some(record) => render::user_stream::order(record, order, realised, &row),
            None => render::user_stream::forced(order, realised, &row),
        };
        messages.iter().for_each(|message| self.tell_user(message));
    }

    fn deliver_account(
        &mut self,
        instrument: InstrumentId,
        update: &AccountUpdate,
        position: Option<&VenuePosition>,
    ) {
        let fill = self.fill_behind(update.reason);
        self.realised = self.prices.note_wallet(update.wallet, fill.map(|fill| (instrument, fill.fee)));
        if let Some(lite) = fill.and_then(|fill| self.trade_lite(instrument, &fill)) {
            self.tell_user(&lite);
        }
        // Funding of a cross position comes without it at the venue; here the position says what was
        // funded, as that of an isolated one does.
        let funded = || Some(self.held(instrument)?.1).filter(|_| update.reason == AccountReason::Funding);
        let position = position.copied().or_else(funded);
        let held = self.instruments.get(instrument).zip(position.as_ref());
        let message = render::user_stream::account(update, held, &self.prices.of(instrument));
        self.tell_user(&message);
    }

    /// The fill that changed the wallet: the report behind this one tells of it.
    fn fill_behind(&mut self, reason: AccountReason) -> Option<Fill> {
        match self.exchange.link().next_report()?.body {
            ReportBody::Order(order) if reason == AccountReason::Order => order.fill,
            _ => None,
        }
    }

    /// The short form of a fill, which comes before everything else; forced ones have none.
    fn trade_lite(&self, instrument: InstrumentId, fill: &Fill) -> Option<String> {
        let (record, row) = (self.book.record(fill.order)?, self.instruments.get(instrument)?);
        Some(render::user_stream::trade_lite(record, fill, row))
    }

    /// A response and nothing else.
    fn deliver_answer(&mut self, report: &Report, update: &OrderUpdate) {
        let waiting = report.answers.and_then(|asked| self.book.answered(update.order, asked));
        let Some(waiting) = waiting else { return };
        let answer = match (update.status, self.book.record(update.order)) {
            // An order of the venue's own, which only the book knows.
            (OrderStatus::NotFound, Some(record)) => self.queried(waiting.operation, record),
            (OrderStatus::Rejected | OrderStatus::CancelRejected | OrderStatus::NotFound, _) => {
                Err(Refusal::of(update.code))
            }
            (_, None) => Err(Refusal::of(code::NO_SUCH_ORDER)),
            (_, Some(record)) => self.queried(waiting.operation, record),
        };
        self.answer_instruction(waiting.operation, waiting.reply, answer);
    }

    /// The ordinary service does not know what rests with the algo service.
    fn queried(&self, operation: Operation, record: &Record) -> Answer {
        if operation == Operation::QueryOrder && record.rests() {
            return Err(Refusal::of(code::NO_SUCH_ORDER));
        }
        let row = self.instruments.get(record.instrument).ok_or_else(|| Refusal::of(codes::BAD_SYMBOL))?;
        Ok(render::orders::response(operation, record, row))
    }

    /// A message of the user stream.
    pub(super) fn tell_user(&mut self, message: &str) {
        self.said += self.clients.tell_user(message);
    }
}

fn new_id_name(operation: Operation) -> &'static str {
    if operation == Operation::PlaceAlgoOrder { "clientAlgoId" } else { "newClientOrderId" }
}

fn kind_of(operation: Operation) -> OrderKind {
    match operation {
        Operation::PlaceAlgoOrder | Operation::CancelAlgoOrder | Operation::QueryAlgoOrder => {
            OrderKind::StopMarket
        }
        _ => OrderKind::Market,
    }
}

fn read_kind(operation: Operation, params: &Params) -> Result<OrderKind, Refusal> {
    let kind = params.need("type")?;
    let offered = |words: &str| {
        Refusal::new(
            codes::INVALID_ORDER_TYPE,
            format!("Invalid orderType: the simulated venue has {words}."),
        )
    };
    if operation == Operation::PlaceOrder {
        return match kind {
            "MARKET" => Ok(OrderKind::Market),
            conditional if CONDITIONAL.contains(&conditional) => Err(Refusal::of(code::USE_ALGO_SERVICE)),
            _ => Err(offered("MARKET only")),
        };
    }
    if params.need("algoType")? != "CONDITIONAL" {
        return Err(Refusal::bad("algoType", "CONDITIONAL is allowed"));
    }
    match kind {
        "STOP_MARKET" => Ok(OrderKind::StopMarket),
        _ => Err(offered("STOP_MARKET only")),
    }
}

fn read_working_type(params: &Params) -> Result<WorkingType, Refusal> {
    match params.get("workingType") {
        None | Some("CONTRACT_PRICE") => Ok(WorkingType::ContractPrice),
        Some("MARK_PRICE") => Ok(WorkingType::MarkPrice),
        Some(_) => Err(Refusal::bad("workingType", "CONTRACT_PRICE and MARK_PRICE are allowed")),
    }
}

/// An order that closes the position brings neither a quantity nor its own reduce-only.
fn check_close_position(params: &Params, reduce_only: bool) -> Result<(), Refusal> {
    if params.get("quantity").is_some() {
        return Err(Refusal::of(CLOSE_POSITION_WITH_QUANTITY));
    }
    if reduce_only { Err(Refusal::of(CLOSE_POSITION_WITH_REDUCE_ONLY)) } else { Ok(()) }
}
