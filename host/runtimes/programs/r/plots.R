# What code draws: PNG, one per page. A page is whole when the next one begins or its device is closed.

LARGEST_PLOT_BYTES <- 8 * 2^20
MOST_PLOTS_BYTES <- 24 * 2^20

pages <- tempfile("plots")
devices <- 0L

# Where R draws when nobody has opened a device. The options are those by which notebooks set the size, in inches.
open_device <- function(width = getOption("repr.plot.width", 7), height = getOption("repr.plot.height", 7), ...) {
  devices <<- devices + 1L
  dir.create(pages, showWarnings = FALSE, recursive = TRUE)
  name <- file.path(pages, sprintf("%06d-%%06d.png", devices))
  type <- if (capabilities("cairo")) "cairo" else getOption("bitmapType")
  grDevices::png(name, width, height, units = "in", res = getOption("repr.plot.res", 120), type = type)
}

# Whatever keeps a plot from being shown, a full disk for one, the run and its context go on.
shown_plots <- function() {
  tryCatch(suppressWarnings(drawn()), error = function(condition) {
    cat("caisson: plots are not shown: ", message_of(condition), "\n", sep = "", file = stderr())
    character()
  })
}

# What was drawn since the last time, as PNG in base64. What the user opened stays open.
drawn <- function() {
  for (number in grDevices::dev.list()) {
    path <- attr(.Devices[[number]], "filepath")
    if (!is.null(path) && startsWith(path, pages)) grDevices::dev.off(number)
  }
  files <- list.files(pages, full.names = TRUE)
  on.exit(unlink(files))
  sizes <- file.size(files)
  fits <- sizes <= LARGEST_PLOT_BYTES & cumsum(sizes) <= MOST_PLOTS_BYTES
  if (!all(fits)) cat("caisson:", sum(!fits), "of", length(files), "plots are not shown: they are too large\n", file = stderr())
  vapply(files[fits], function(path) base64(readBin(path, "raw", file.size(path))), "")
}
