//! Reads the memory of a process that it may trace. (/proc/PID/mem would also check the owner, which is the host's root
//! for a non-dumpable process.)

const PAGE: usize = 4096;

/// Caches the last page, because the strings to read lie close together.
pub struct Memory {
    pid: libc::pid_t,
    page: [u8; PAGE],
    /// The address of the cached page; 1, which no page has, for none.
    at: u64,
}

impl Memory {
    pub fn of(pid: libc::pid_t) -> Memory {
        Memory { pid, page: [0; PAGE], at: 1 }
    }

    /// The bytes from there to the end of the page. None: no memory is mapped.
    fn from(&mut self, address: u64) -> Option<&[u8]> {
        let within = (address % PAGE as u64) as usize;
        let at = address - within as u64;
        if self.at != at {
            self.at = 1;
            let ours = libc::iovec { iov_base: self.page.as_mut_ptr().cast(), iov_len: PAGE };
            let theirs = libc::iovec { iov_base: at as *mut libc::c_void, iov_len: PAGE };
            // SAFETY: both descriptions outlive the call, and ours covers the page; theirs is an address in another
            // process.
            let read = unsafe { libc::process_vm_readv(self.pid, &raw const ours, 1, &raw const theirs, 1, 0) };
            if read != PAGE as isize {
                return None;
            }
            self.at = at;
        }
        Some(&self.page[within..])
    }

    /// Up to NUL or `most` bytes, page by page, because the string may end just before unmapped memory.
    pub fn string(&mut self, address: u64, most: usize) -> Vec<u8> {
        let mut found = Vec::new();
        while found.len() < most {
            let Some(bytes) = self.from(address.wrapping_add(found.len() as u64)) else { break };
            let bytes = &bytes[..bytes.len().min(most - found.len())];
            let end = bytes.iter().position(|byte| *byte == 0);
            found.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            if end.is_some() {
                break;
            }
        }
        found
    }

    /// The strings of a null-terminated list of pointers, and whether there were more.
    pub fn strings(&mut self, address: u64, most: usize, most_bytes: usize) -> (Vec<Vec<u8>>, bool) {
        let (pointers, mut truncated) = self.pointers(address, most);
        let (mut found, mut bytes) = (Vec::new(), 0);
        for pointer in pointers {
            if bytes >= most_bytes {
                truncated = true;
                break;
            }
            let one = self.string(pointer, most_bytes - bytes);
            bytes += one.len();
            found.push(one);
        }
        (found, truncated)
    }

    fn pointers(&mut self, address: u64, most: usize) -> (Vec<u64>, bool) {
        let mut found = Vec::new();
        while found.len() < most {
            let mut pointer = [0u8; 8];
            for (index, byte) in pointer.iter_mut().enumerate() {
                // Byte by byte, because a pointer may cross a page boundary.
                let from = address.wrapping_add((8 * found.len() + index) as u64);
                match self.from(from) {
                    Some(bytes) => *byte = bytes[0],
                    None => return (found, true),
                }
            }
            match u64::from_ne_bytes(pointer) {
                0 => return (found, false),
                pointer => found.push(pointer),
            }
        }
        (found, true)
    }
}
