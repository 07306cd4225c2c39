//! What kind of frame it is: raw or combined, event or answer.

use simd_json::tape::{Object, Value};

use super::Skip;
use super::fault::{Excerpt, Expected, Fault};
use super::fields::{Slot, fields};
use crate::event::FaultReason;
use crate::venue::binance::Channel;

/// Where a frame goes.
pub(super) enum Route<'a> {
    Event(Channel, Object<'a, 'a>),
    Skip(Skip),
}

fields! { Root {
    stream: "stream",
    data: "data",
    event_type: "e",
    snapshot: "lastUpdateId",
    result: "result",
    error: "error",
    id: "id",
} }

fields! { Data {
    event_type: "e",
} }

pub(super) fn route<'a>(frame: Value<'a, 'a>) -> Result<Route<'a>, Fault> {
    let Some(object) = frame.as_object() else { return Err(no_event()) };
    let root = Root::read(&object)?;
    if root.data.is_present() {
        // Some streams send arrays of events; none of those we know does.
        let data = root.data.object().map_err(|_| no_event())?;
        let channel = channel(Data::read(&data)?.event_type, root.stream)?;
        Ok(Route::Event(channel, data))
    } else if root.event_type.is_present() {
        Ok(Route::Event(channel(root.event_type, root.stream)?, object))
    } else if root.snapshot.is_present() {
        Ok(Route::Skip(Skip::RestSnapshot))
    } else if root.error.is_present() {
        Ok(Route::Skip(Skip::ErrorReply))
    } else if root.result.is_present() && root.id.is_present() {
        Ok(Route::Skip(Skip::Reply))
    } else {
        Err(no_event())
    }
}

/// The channel by event type. Book tickers of old had none; for those the stream's name decides.
fn channel(event_type: Slot, stream: Slot) -> Result<Channel, Fault> {
    let (slot, found) = if event_type.is_present() {
        (event_type, Channel::from_event_type(event_type.text()?))
    } else if stream.is_present() {
        let named = Channel::from_stream(stream.text()?);
        (stream, named.filter(|channel| *channel == Channel::BookTicker))
    } else {
        return Err(no_event());
    };
    found
        .ok_or_else(|| slot.fault(FaultReason::UnknownStream, Expected::Text("a known event type or stream")))
}

#[cold]
fn no_event() -> Fault {
    let expected = Expected::Text("an object with an event type");
    Fault::new(FaultReason::UnknownStream, "", Excerpt::EMPTY, expected)
}
