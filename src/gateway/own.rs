//! Requests of the gateway's own. They wait while the venue's limits leave no room for them, and while
//! it wants silence.

use super::budget::{Cost, Share};
use super::io::{Outputs, RestRequest};
use super::machine::Gateway;
use super::requests::{Road, Waiting, What};
use crate::num::{InstrumentId, TimeNs};
use crate::venue::binance::request::{self, RestCall, Verb};
use crate::venue::binance::{Params, weight};

/// One that may have to wait.
#[derive(Debug)]
pub(super) struct OwnRequest {
    call: OwnCall,
    what: What,
    instrument: InstrumentId,
}

#[derive(Debug)]
enum OwnCall {
    AsItIs(RestCall),
    /// Signed when it goes out: a time stamp ages.
    ToSign(Verb, &'static str, Box<Params>),
}

/// What a request of ours costs, which is no order; `of_one`: of one symbol.
pub(super) fn cost(verb: Verb, path: &str, of_one: bool) -> Cost {
    Cost { weight: weight(verb, path, of_one), orders: 0 }
}

impl OwnRequest {
    fn cost(&self) -> Cost {
        match &self.call {
            OwnCall::AsItIs(call) => cost(call.verb, call.path, false),
            OwnCall::ToSign(verb, path, params) => cost(*verb, path, params.has("symbol")),
        }
    }
}

impl Gateway {
    /// A signed REST request of our own. Its parameters are in place.
    pub(super) fn ask(
        &mut self,
        now: TimeNs,
        verb: Verb,
        path: &'static str,
        what: What,
        instrument: InstrumentId,
        out: &mut Outputs,
    ) {
        let call = OwnCall::ToSign(verb, path, Box::new(std::mem::take(&mut self.params)));
        self.own.push_back(OwnRequest { call, what, instrument });
        self.release_own(now, out);
    }

    /// A REST request of our own that needs no signature.
    pub(super) fn queue(
        &mut self,
        now: TimeNs,
        call: RestCall,
        what: What,
        instrument: InstrumentId,
        out: &mut Outputs,
    ) {
        self.own.push_back(OwnRequest { call: OwnCall::AsItIs(call), what, instrument });
        self.release_own(now, out);
    }

    /// Puts on their way those that there is room for, in the order they were made.
    pub(super) fn release_own(&mut self, now: TimeNs, out: &mut Outputs) {
        while !self.is_silent()
            && let Some(next) = self.own.front()
        {
            let (cost, wanted) = (next.cost(), self.is_wanted(&next.what));
            if wanted && !self.budget.has_room(now, cost, Share::ThreeQuarters) {
                return;
            }
            let Some(own) = self.own.pop_front().filter(|_| wanted) else { continue };
            self.budget.spend(now, cost);
            let OwnRequest { call, what, instrument } = own;
            let call = match call {
                OwnCall::AsItIs(call) => call,
                OwnCall::ToSign(verb, path, mut params) => {
                    let timestamp_ms = self.server_ms(now);
                    request::signed(verb, path, &mut params, &mut self.credentials.signer, timestamp_ms)
                }
            };
            let waiting = Waiting { what, road: Road::Rest, instrument, sent_ns: now, again: false };
            let request = self.requests.add(waiting);
            self.counters.rest_requests += 1;
            out.rest.push_back(RestRequest { request, call });
        }
    }

    /// What a reconciliation asked that began again since is asked anew.
    fn is_wanted(&self, what: &What) -> bool {
        match what {
            What::Reconcile { round, .. } => *round == self.counters.reconciliation_rounds as u32,
            _ => true,
        }
    }
}
