//! SUBSCRIBE and its kin on a market connection.
//!
//! Source: developers.binance.com, USDⓈ-M futures, "Live Subscribing/Unsubscribing to streams".

use serde_json::{Value, json};

use super::clients::{ClientId, Clients, Form, STREAMS_MAX};

/// The answer to a control message; `None` where the venue hangs up instead.
pub(super) fn answer(clients: &mut Clients, client: ClientId, text: &str) -> Option<String> {
    let request: Value = match serde_json::from_str(text) {
        Ok(request) => request,
        Err(error) => return Some(refused(&Value::Null, 3, &format!("Invalid JSON: {error}"))),
    };
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    if !(id.is_u64() || id.is_null() || id.is_string()) {
        let message = "Invalid request: request ID must be an unsigned integer";
        return Some(refused(&Value::Null, 2, message));
    }
    let method = request.get("method").and_then(Value::as_str);
    let params = request.get("params");
    match method {
        Some("SUBSCRIBE") => match names(params) {
            // Beyond the limit the venue ends the connection.
            Some(names) => clients.subscribe(client, names).then(|| done(&id, &Value::Null)),
            None => Some(refused(&id, 2, "Invalid request: params must be an array of strings")),
        },
        Some("UNSUBSCRIBE") => match names(params) {
            Some(names) => {
                clients.unsubscribe(client, &names);
                Some(done(&id, &Value::Null))
            }
            None => Some(refused(&id, 2, "Invalid request: params must be an array of strings")),
        },
        Some("LIST_SUBSCRIPTIONS") => Some(done(&id, &json!(clients.streams(client)))),
        Some("SET_PROPERTY") => match params.and_then(combined_property) {
            Some(combined) => {
                clients.set_form(client, if combined { Form::Combined } else { Form::Raw });
                Some(done(&id, &Value::Null))
            }
            None => Some(refused(&id, 0, "Unknown property")),
        },
        Some("GET_PROPERTY") => {
            let combined = clients.form(client) == Some(Form::Combined);
            Some(done(&id, &Value::Bool(combined)))
        }
        _ => {
            let message = "Invalid request: unknown variant, expected one of SUBSCRIBE, UNSUBSCRIBE, \
                           LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY";
            Some(refused(&id, 2, message))
        }
    }
}

/// `["a","b"]`, as strings; a list longer than any connection may have is cut behind the limit.
fn names(params: Option<&Value>) -> Option<Vec<String>> {
    let list = params?.as_array()?;
    list.iter().take(STREAMS_MAX + 1).map(|name| name.as_str().map(str::to_owned)).collect()
}

/// `["combined", true]`
fn combined_property(params: &Value) -> Option<bool> {
    match params.as_array()?.as_slice() {
        [Value::String(name), Value::Bool(value)] if name == "combined" => Some(*value),
        _ => None,
    }
}

fn done(id: &Value, result: &Value) -> String {
    format!(r#"{{"result":{result},"id":{id}}}"#)
}

fn refused(id: &Value, code: i32, message: &str) -> String {
    json!({ "error": { "code": code, "msg": message }, "id": id }).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::clients::Role;
    use super::*;
    use crate::event::Feed;
    use crate::num::TimeNs;

    fn client() -> (Clients, super::super::clients::Opened) {
        let mut clients = Clients::default();
        let role = Role::Market { road: Feed::Public, form: Form::Raw };
        let opened = clients.open(role, 8, TimeNs(0));
        (clients, opened)
    }

    #[test]
    fn subscriptions_come_and_go() {
        let (mut clients, opened) = client();
        let mut ask = |text: &str| answer(&mut clients, opened.id, text).unwrap();
        let subscribe = r#"{"method":"SUBSCRIBE","params":["btcusdt@depth","btcusdt@depth"],"id":1}"#;
        assert_eq!(ask(subscribe), r#"{"result":null,"id":1}"#);
        let list = r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#;
        assert_eq!(ask(list), r#"{"result":["btcusdt@depth"],"id":3}"#);
        ask(r#"{"method":"UNSUBSCRIBE","params":["btcusdt@depth"],"id":312}"#);
        assert_eq!(ask(list), r#"{"result":[],"id":3}"#);
        assert_eq!(
            ask(r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#),
            r#"{"result":null,"id":5}"#
        );
        assert_eq!(
            ask(r#"{"method":"GET_PROPERTY","params":["combined"],"id":2}"#),
            r#"{"result":true,"id":2}"#
        );
    }

    #[test]
    fn what_makes_no_sense_is_answered() {
        let (mut clients, opened) = client();
        for (text, code) in [
            ("{", 3),
            ("[]", 2),
            (r#"{"method":"SUBSCRIBE","params":[1],"id":1}"#, 2),
            (r#"{"method":"SUBSCRIBE","id":1}"#, 2),
            (r#"{"method":"SING","id":1}"#, 2),
            (r#"{"method":"SUBSCRIBE","params":[],"id":-1}"#, 2),
            (r#"{"method":"SET_PROPERTY","params":["x",true],"id":1}"#, 0),
        ] {
            let answer = answer(&mut clients, opened.id, text).unwrap();
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer["error"]["code"], code, "{text}");
        }
    }

    #[test]
    fn more_streams_than_allowed_end_the_connection() {
        let (mut clients, opened) = client();
        let names: Vec<String> = (0..=STREAMS_MAX).map(|i| format!("s{i}@depth")).collect();
        let request = json!({ "method": "SUBSCRIBE", "params": names, "id": 1 }).to_string();
        assert_eq!(answer(&mut clients, opened.id, &request), None);
        assert!(clients.streams(opened.id).is_empty());
    }
}
