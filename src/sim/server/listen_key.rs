//! Listen keys: one account has one at a time, and it ends unless it is kept alive.

use ring::digest;

use crate::num::TimeNs;

/// The venue's keys have 64 letters and digits; ours are as many hexadecimal digits.
fn make(number: u64) -> String {
    let hash = digest::digest(&digest::SHA256, &number.to_be_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) struct ListenKeys {
    key: Option<(String, TimeNs)>,
    life_ns: i64,
    made: u64,
    /// The last one that ended: its end is told by name.
    ended: String,
}

impl ListenKeys {
    pub fn new(life_ns: i64) -> ListenKeys {
        ListenKeys { key: None, life_ns, made: 0, ended: String::new() }
    }

    /// The key there is, its life begun anew, or a new one.
    pub fn start(&mut self, now: TimeNs) -> String {
        if let Some(key) = self.keep(now) {
            return key;
        }
        self.made += 1;
        let key = make(self.made);
        self.key = Some((key.clone(), now + self.life_ns));
        key
    }

    /// Begins the key's life anew; `None` without one.
    pub fn keep(&mut self, now: TimeNs) -> Option<String> {
        let (key, until) = self.key.as_mut()?;
        *until = now + self.life_ns;
        Some(key.clone())
    }

    /// Ends the key; false if there was none.
    pub fn end(&mut self) -> bool {
        match self.key.take() {
            Some((key, _)) => {
                self.ended = key;
                true
            }
            None => false,
        }
    }

    /// Ends a key whose time is up; true if it was.
    pub fn expire(&mut self, now: TimeNs) -> bool {
        self.key.as_ref().is_some_and(|(_, until)| *until <= now) && self.end()
    }

    pub fn is_valid(&self, key: &str) -> bool {
        self.key.as_ref().is_some_and(|(known, _)| known == key)
    }

    /// The last key that ended.
    pub fn ended(&self) -> &str {
        &self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lives_as_long_as_it_is_kept_alive() {
        let mut keys = ListenKeys::new(60);
        assert_eq!(keys.keep(TimeNs(0)), None);
        let key = keys.start(TimeNs(0));
        assert_eq!(key.len(), 64);
        assert!(keys.is_valid(&key) && !keys.is_valid(""));
        assert_eq!(keys.start(TimeNs(30)), key, "one account, one key");
        assert!(!keys.expire(TimeNs(89)));
        assert!(keys.expire(TimeNs(90)));
        assert!(!keys.is_valid(&key) && !keys.expire(TimeNs(1_000)) && !keys.end());
        assert_eq!(keys.ended(), key);
        assert_ne!(keys.start(TimeNs(90)), key);
    }
}
