# Code: a cell, whose last value is its result, or a program, as `Rscript FILE ARGS` runs it.

INTERRUPTED <- 130L

# Line by line, until one fails. The failure, or NULL.
cell <- function(id, code) {
  lines <- parsed(code, "cell")
  if (!is.null(lines$failure)) return(lines$failure)
  for (number in seq_along(lines$value)) {
    is_last <- number == length(lines$value)
    failure <- carry_out(lines$value[[number]], if (is_last) function(value) tell_value(id, value))
    if (!is.null(failure)) return(failure)
  }
}

# `tell` has its value, if it is one that R would show; without `tell` it is printed.
carry_out <- function(line, tell = NULL) {
  done <- guarded(function() withVisible(eval(line, globalenv())))
  if (!is.null(done$failure)) return(done$failure)
  if (!done$value$visible) return(NULL)
  shown <- done$value$value
  if (is.null(tell)) guarded(function() print(shown))$failure else tell(shown)
}

# The main result of a run. Whoever prints nothing, as what is drawn, is none.
tell_value <- function(id, shown) {
  text <- ""
  failure <- guarded(function() text <<- printed(shown))$failure
  if (!is.null(failure)) return(failure)
  frame <- if (is.data.frame(shown)) tryCatch(
    list(html = table_html(shown), data = table_json(shown)),
    error = function(condition) list()
  )
  if (text == "") return(NULL)
  main_result <<- list(
    result = json_object(text = json_text(text), html = if (!is.null(frame$html)) json_text(frame$html), isMainResult = "true"),
    exact = if (!is.null(frame$data)) json_object(data = json_texts(frame$data))
  )
  NULL
}

# What `print` says, without the end of its last line.
printed <- function(shown) {
  said <- rawConnection(raw(), "wb")
  on.exit(close(said))
  sink(said)
  on.exit(sink(), add = TRUE, after = FALSE)
  print(shown)
  text <- rawToChar(rawConnectionValue(said))
  Encoding(text) <- "UTF-8"
  sub("\n$", "", text)
}

# list(value = expressions), or list(failure = ...).
parsed <- function(code, name) {
  tryCatch(
    list(value = parse(text = code, keep.source = TRUE, srcfile = srcfilecopy(name, strsplit(code, "\n", fixed = TRUE)[[1L]]))),
    error = function(condition) {
      value <- message_of(condition)
      list(failure = list(name = "ParseError", value = value, traceback = paste0("Error: ", value)))
    }
  )
}

# Its exit code. One that quits ends this process with it.
program <- function(code, path, arguments) {
  with_arguments(path, arguments)
  drawing <- options(device = own_device)
  on.exit({
    with_own_arguments()
    options(drawing)
  })
  lines <- parsed(sub("^#![^\n]*", "", code), path)
  failure <- lines$failure
  for (line in lines$value) if (is.null(failure)) failure <- carry_out(line)
  grDevices::graphics.off()
  if (is.null(failure)) return(0L)
  if (failure$name == "KeyboardInterrupt") return(INTERRUPTED)
  cat(failure$traceback, "\nExecution halted\n", sep = "", file = stderr())
  1L
}

own_arguments <- commandArgs
# A file of its own for what is drawn.
own_device <- getOption("device")

with_arguments <- function(path, arguments) {
  all <- c("R", "--no-echo", "--no-restore", paste0("--file=", path), if (length(arguments) > 0L) c("--args", arguments))
  replace_in_base("commandArgs", function(trailingOnly = FALSE) if (trailingOnly) arguments else all)
}

with_own_arguments <- function() replace_in_base("commandArgs", own_arguments)
