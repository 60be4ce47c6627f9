//! Whatever bytes arrive, decoding returns an error or a frame; it never panics, and never keeps more than it was
//! given.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use caisson_wire::data::Channel;
use caisson_wire::open::Operation;
use caisson_wire::*;

/// Counts what a thread allocates, so that a test can measure the cost of decoding. The test harness's own thread may
/// allocate at any moment, which is not a cost of a frame.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.get() + layout.size() as isize;
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// xorshift64*: the same bytes in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    fn below(&mut self, bound: usize) -> usize {
        (self.roll() >> 33) as usize % bound
    }
}

fn samples() -> Vec<Frame> {
    let open = |operation| frame::Body::Open(Open { operation: Some(operation) });
    let text = || "some text".to_owned();
    let attributes = || [(text(), text()), ("other".to_owned(), String::new())].into();
    let entry = Entry { path: text(), kind: 1, size: 1 << 60, attributes: attributes(), ..Entry::default() };
    let bodies = [
        open(Operation::Hello(Hello { generation: 1 })),
        open(Operation::Start(Start {
            command: text(),
            args: vec![text(), String::new()],
            env: attributes(),
            pty: Some(PtySize { columns: 80, rows: 24 }),
            control_channel: true,
            ..Start::default()
        })),
        open(Operation::WriteFile(WriteFile {
            path: text(),
            mode: 0o644,
            attributes: attributes(),
            ..WriteFile::default()
        })),
        open(Operation::ReadFile(ReadFile { path: text(), offset: u64::MAX, length: 1, ..ReadFile::default() })),
        open(Operation::Dial(Dial { port: 8080, host: text() })),
        frame::Body::Opened(Opened { result: Some(opened::Result::Entries(Entries { entries: vec![entry; 3] })) }),
        frame::Body::Data(Data { channel: Channel::Stdout.into(), payload: vec![7; 300], at_us: u64::MAX, end: true }),
        frame::Body::Window(Window { bytes: u32::MAX }),
        frame::Body::Event(Event { what: Some(event::What::Exit(Exit { code: -1, signal: 9, ..Exit::default() })) }),
        frame::Body::Control(Control { action: Some(control::Action::Signal(15)) }),
        frame::Body::Close(Close { code: text(), message: text() }),
    ];
    (1..).zip(bodies).map(|(stream, body)| Frame { stream, body: Some(body) }).collect()
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(frame, &mut bytes);
    bytes
}

/// As a connection does it: frame after frame until no whole one is left.
fn decode_all(mut input: &[u8]) -> Result<usize, Violation> {
    let mut frames = 0;
    while let Some((_, used)) = decode(input)? {
        assert!(used >= 4 && used <= input.len());
        input = &input[used..];
        frames += 1;
    }
    Ok(frames)
}

#[test]
fn hostile_bytes_are_refused_in_bounded_memory() {
    whole_frames_come_back_and_truncated_ones_wait();
    lengths_over_the_limit_are_refused_before_anything_is_kept();
    let before = LIVE.get();
    let mut dice = Dice(0x1234_5678_9abc_def1);
    random_bytes(&mut dice);
    damaged_frames(&mut dice);
    frames_made_to_swell(before);
    assert_eq!(LIVE.get(), before, "nothing is kept");
}

fn whole_frames_come_back_and_truncated_ones_wait() {
    for frame in samples() {
        let bytes = encoded(&frame);
        assert_eq!(decode(&bytes), Ok(Some((frame.clone(), bytes.len()))));
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), Ok(None), "{frame:?} cut to {length}");
            if length >= 4 {
                // The same cut, with a length that claims it is whole: a smaller frame or none, but no panic.
                let mut lying = bytes[..length].to_vec();
                lying[..4].copy_from_slice(&u32::to_le_bytes(length as u32 - 4));
                match decode(&lying) {
                    Ok(Some((other, used))) => assert!(used == length && other != frame),
                    Ok(None) => panic!("a whole frame is never waited for"),
                    Err(violation) => assert_eq!(violation, Violation::Malformed),
                }
            }
        }
    }
}

fn lengths_over_the_limit_are_refused_before_anything_is_kept() {
    for length in [MAX_FRAME_BYTES + 1, 1 << 24, u32::MAX as usize] {
        assert_eq!(decode(&u32::to_le_bytes(length as u32)), Err(Violation::TooLarge(length)));
    }
    let endless = [u32::to_le_bytes(MAX_FRAME_BYTES as u32).to_vec(), vec![0x0a; MAX_FRAME_BYTES - 1]].concat();
    assert_eq!(decode(&endless), Ok(None));
}

fn random_bytes(dice: &mut Dice) {
    for _ in 0..50_000 {
        let body: Vec<u8> = (0..dice.below(200)).map(|_| dice.roll() as u8).collect();
        let mut bytes = u32::to_le_bytes(body.len() as u32).to_vec();
        bytes.extend_from_slice(&body);
        let _ = decode_all(&bytes);
        let _ = decode_all(&body);
    }
}

fn damaged_frames(dice: &mut Dice) {
    let whole: Vec<u8> = samples().iter().flat_map(encoded).collect();
    let mut refused = 0;
    for _ in 0..50_000 {
        let mut bytes = whole.clone();
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len());
            match dice.below(3) {
                0 => bytes[at] = dice.roll() as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, dice.roll() as u8),
            }
        }
        refused += usize::from(decode_all(&bytes).is_err());
    }
    assert!(refused > 1000, "{refused}: the damage is felt");
}

/// Input that decodes to many small objects: even the largest frame of each kind may only cost a bounded multiple of
/// its size.
fn frames_made_to_swell(before: isize) {
    // Frame.open.start.args: two bytes on the wire, an empty String in memory. The same for entries of a listing.
    for (path, item) in [(&[0x12u8, 0x12][..], [0x12u8, 0]), (&[0x1a, 0x2a][..], [0x0a, 0])] {
        let mut bytes: Vec<u8> = item.iter().copied().cycle().take((MAX_FRAME_BYTES - 64) & !1).collect();
        for tag in path.iter().rev() {
            let mut outer = vec![*tag];
            let mut length = bytes.len();
            while length >= 0x80 {
                outer.push(length as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.append(&mut bytes);
            bytes = outer;
        }
        let mut framed = u32::to_le_bytes(bytes.len() as u32).to_vec();
        framed.append(&mut bytes);
        PEAK.set(LIVE.get());
        assert_eq!(decode_all(&framed), Ok(1));
        let cost = PEAK.get() - before;
        assert!(cost < 256 * MAX_FRAME_BYTES as isize, "{cost} bytes for one frame");
    }
}
