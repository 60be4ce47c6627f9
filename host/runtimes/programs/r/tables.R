# A data frame as more than text.

MOST_VALUES <- 1000000
MOST_JSON_BYTES <- 8 * 2^20
MOST_ROWS_SHOWN <- 60L

# Columns by name, as JSON; NULL for one that is too large to be told whole.
table_json <- function(frame) {
  if (prod(dim(frame)) > MOST_VALUES) return(NULL)
  columns <- lapply(as.list(frame), function(column) json_array(if (is.null(dim(column))) column else format(column)))
  names(columns) <- make.unique(names(frame))
  json <- if (length(columns) == 0L) "{}" else do.call(json_object, columns)
  if (nchar(json, "bytes") > MOST_JSON_BYTES) NULL else json
}

table_html <- function(frame) {
  rows <- utils::head(frame, MOST_ROWS_SHOWN)
  cells <- as.matrix(format(rows))
  head <- paste0("<th>", html_texts(c("", colnames(cells))), "</th>", collapse = "")
  lines <- vapply(seq_len(nrow(rows)), function(row) {
    paste0("<tr><th>", html_texts(rownames(rows)[[row]]), "</th>", html_cells(cells[row, ]), "</tr>")
  }, "")
  more <- if (nrow(frame) > nrow(rows)) sprintf("<p>%d rows, the first %d of them</p>", nrow(frame), nrow(rows))
  paste0("<table>\n<thead><tr>", head, "</tr></thead>\n<tbody>\n", paste0(lines, rep("\n", length(lines)), collapse = ""), "</tbody>\n</table>", more)
}

html_cells <- function(cells) paste0("<td>", html_texts(trimws(cells)), "</td>", collapse = "")

html_texts <- function(texts) {
  texts <- gsub("&", "&amp;", texts, fixed = TRUE)
  gsub(">", "&gt;", gsub("<", "&lt;", texts, fixed = TRUE), fixed = TRUE)
}
