//! Settings as bytes, for snapshots: name and value of every row, as text. A value is read by the rules
//! of its row, so what comes back could have been set.

use std::io::{Error, ErrorKind, Read, Result, Write};

use borsh::{BorshDeserialize, BorshSerialize};

use super::{SETTINGS, Settings};

impl BorshSerialize for Settings {
    fn serialize<W: Write>(&self, writer: &mut W) -> Result<()> {
        SETTINGS.iter().try_for_each(|row| (row.name, row.value(self)).serialize(writer))
    }
}

impl BorshDeserialize for Settings {
    fn deserialize_reader<R: Read>(reader: &mut R) -> Result<Settings> {
        let refuse = |why: String| Error::new(ErrorKind::InvalidData, why);
        let mut settings = Settings::DEFAULT;
        for row in SETTINGS {
            let (name, value) = <(String, String)>::deserialize_reader(reader)?;
            if name != row.name {
                return Err(refuse(format!("the settings are others than this version's: no {}", row.name)));
            }
            // One text a value: 0.10 is not how 0.1 is written.
            if row.set(&mut settings, &value).is_none() || row.value(&settings) != value {
                return Err(refuse(format!("{name} is not {}", row.allowed)));
            }
        }
        Ok(settings)
    }
}
