//! The table of the gate's connections, whose slots are reused, and the tokens by which epoll refers to them.

use super::connection::Connection;

/// Identifies what an event refers to. A slot may hold another connection by then; the token tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Remote,
}

const CONNECTION: u64 = 1 << 63;
const NUMBERS: u64 = 0x7FFF_FFFF;

impl Token {
    pub const LINK: Token = Token(0);
    pub const ORDERS: Token = Token(1);

    pub fn listener(index: usize) -> Token {
        Token(2 + index as u64)
    }

    pub fn as_listener(self) -> Option<usize> {
        (self.0 > 1 && self.0 & CONNECTION == 0).then(|| self.0 as usize - 2)
    }

    fn of(place: usize, number: u64) -> Token {
        Token(CONNECTION | (number & NUMBERS) << 32 | (place as u64) << 1)
    }

    pub fn client(self) -> Token {
        Token(self.0 & !1)
    }

    pub fn remote(self) -> Token {
        Token(self.0 | 1)
    }

    pub fn side(self) -> Side {
        if self.0 & 1 == 0 { Side::Client } else { Side::Remote }
    }

    fn place(self) -> usize {
        (self.0 as u32 >> 1) as usize
    }

    fn is_of(self, number: u64) -> bool {
        self.0 >> 32 & NUMBERS == number & NUMBERS
    }
}

#[derive(Default)]
pub struct Table {
    places: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
}

impl Table {
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn add(&mut self, connection: Connection) -> Token {
        let number = connection.number;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(Box::new(connection));
        Token::of(place, number)
    }

    pub fn get(&mut self, token: Token) -> Option<&mut Connection> {
        let connection = self.places.get_mut(token.place())?.as_deref_mut();
        connection.filter(|connection| token.is_of(connection.number))
    }

    pub fn all(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.places.iter_mut().flatten().map(Box::as_mut)
    }

    pub fn remove(&mut self, token: Token) -> Option<Box<Connection>> {
        self.get(token)?;
        let connection = self.places[token.place()].take();
        self.free.push(token.place());
        if self.is_empty() {
            // Frees the memory of an idle gate that once had a thousand connections.
            *self = Table::default();
        }
        connection
    }

    pub fn tokens(&self, which: impl Fn(&Connection) -> bool) -> Vec<Token> {
        let places = self.places.iter().enumerate();
        let all = places.filter_map(|(place, connection)| Some((place, connection.as_deref()?)));
        all.filter(|(_, connection)| which(connection))
            .map(|(place, connection)| Token::of(place, connection.number))
            .collect()
    }

    pub fn any_with_deadline(&self) -> bool {
        self.places.iter().flatten().any(|connection| connection.deadline.is_some())
    }
}
