# The control channel. R opens no descriptor but standard input: so that is what it comes as, and code finds an empty one in its place.

LENGTH_DIGITS <- 10L

asked <- file("stdin", "rb")
answers <- file("stdin", "wb")
parallel:::closeFD(0L)
# The lowest that is free.
nothing <- file("/dev/null", "rb")

replace_in_base <- function(name, with) {
  unlockBinding(name, baseenv())
  assign(name, with, baseenv())
  lockBinding(name, baseenv())
}

# What closes all connections of a user must not close these.
all_connections <- getAllConnections
replace_in_base("getAllConnections", function() setdiff(all_connections(), c(asked, answers, nothing)))

# The fields of the next request; ends R when the host is gone.
next_request <- function() {
  digits <- readBin(asked, "raw", LENGTH_DIGITS)
  if (length(digits) < LENGTH_DIGITS) quit("no", 0L)
  bytes <- readBin(asked, "raw", as.integer(rawToChar(digits)))
  ends <- which(bytes == 0L)
  starts <- c(1L, ends[-length(ends)] + 1L)
  fields <- mapply(function(start, end) rawToChar(bytes[seq.int(start, length.out = end - start)]), starts, ends)
  Encoding(fields) <- "UTF-8"
  fields
}

say <- function(...) {
  writeBin(charToRaw(paste0(json_object(...), "\n")), answers)
  flush(answers)
}
