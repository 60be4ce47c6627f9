//! A minimal Protocol Buffers reader: yields one field after the other, borrowed from the input. It allocates nothing
//! and trusts nothing.

pub enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    /// Number and value of a field, or what is wrong with the rest.
    type Item = Result<(u64, Value<'a>), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Value<'a>), &'static str> {
        let key = self.number()?;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = usize::try_from(self.number()?).map_err(|_| "a length beyond all bounds")?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Bytes(self.take(4)?),
            _ => return Err("a field of a kind that is not known"),
        };
        Ok((key >> 3, value))
    }

    fn number(&mut self) -> Result<u64, &'static str> {
        let mut number = 0u64;
        for (index, byte) in self.0.iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Ok(number);
            }
        }
        Err("a number that does not end")
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it ends within a field")?;
        self.0 = rest;
        Ok(taken)
    }
}
