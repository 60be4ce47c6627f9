# What R says of itself, as JSON of one line. All texts given back are UTF-8.

LONGEST_TEXT <- 2^20
ALPHABET <- charToRaw("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

# Each element as a string of JSON. Bytes that are no characters become U+FFFD.
json_texts <- function(texts) {
  texts <- iconv(enc2utf8(texts), "UTF-8", "UTF-8", sub = "\uFFFD")
  texts <- gsub("\\", "\\\\", texts, fixed = TRUE)
  texts <- gsub("\"", "\\\"", texts, fixed = TRUE)
  for (code in seq_len(31L)) {
    letter <- intToUtf8(code)
    if (any(grepl(letter, texts, fixed = TRUE))) texts <- gsub(letter, sprintf("\\u%04x", code), texts, fixed = TRUE)
  }
  paste0("\"", texts, "\"", recycle0 = TRUE)
}

json_text <- function(text) json_texts(substr(text, 1L, LONGEST_TEXT))

# A list of names and of what is JSON already. NULL is left out.
json_object <- function(...) {
  members <- Filter(Negate(is.null), list(...))
  paste0("{", paste0(json_texts(names(members)), ":", members, collapse = ","), "}")
}

# A column of a table as an array; null for what is missing, and for numbers that JSON does not know.
json_array <- function(column) {
  values <- if (is.logical(column)) ifelse(column, "true", "false")
  else if (is.numeric(column) && !is.object(column)) ifelse(is.finite(column), as.character(column), NA)
  else {
    texts <- if (is.character(column) || is.factor(column)) as.character(column)
    else if (is.list(column)) vapply(column, function(item) toString(item, width = 200L), "")
    else as.character(format(column))
    ifelse(is.na(column), NA, json_texts(texts))
  }
  paste0("[", paste0(ifelse(is.na(values), "null", values), collapse = ","), "]")
}

base64 <- function(bytes) {
  missing <- -length(bytes) %% 3L
  numbers <- matrix(as.integer(c(bytes, raw(missing))), nrow = 3L)
  sixths <- rbind(
    numbers[1L, ] %/% 4L,
    numbers[1L, ] %% 4L * 16L + numbers[2L, ] %/% 16L,
    numbers[2L, ] %% 16L * 4L + numbers[3L, ] %/% 64L,
    numbers[3L, ] %% 64L
  )
  letters <- ALPHABET[sixths + 1L]
  if (missing > 0L) letters[seq(to = length(letters), length.out = missing)] <- charToRaw("=")
  rawToChar(letters)
}
