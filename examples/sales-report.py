"""Where a year of sales came from: two tables and a chart. The data lies in the folder of the same name beside this file."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

HERE = Path(__file__).resolve().parent / "sales-report"
COLOURS = {"North": "#4269d0", "South": "#ff725c", "East": "#3ca951", "West": "#efb118"}


def read():
    sales = pd.read_csv(HERE / "sales.csv", parse_dates=["date"])
    sales["revenue"] = sales.units * sales.unit_price * (1 - sales.discount)
    sales["month"] = sales.date.dt.month
    return sales


def by_month(sales):
    table = sales.pivot_table(index="month", columns="region", values="revenue", aggfunc="sum")
    table.index = [f"{pd.Timestamp(2025, month, 1):%b}" for month in table.index]
    return table[list(COLOURS)]


def by_product(sales):
    groups = sales.groupby("product")
    table = pd.DataFrame(
        {
            "orders": groups.order.nunique(),
            "units": groups.units.sum(),
            "revenue": groups.revenue.sum(),
            "discount": 1 - groups.revenue.sum() / groups.apply(lambda g: (g.units * g.unit_price).sum(), include_groups=False),
        }
    )
    return table.sort_values("revenue", ascending=False)


def show(months, products):
    whole = months.assign(Total=months.sum(axis=1))
    whole.loc["Year"] = whole.sum()
    print("Revenue by month and region, EUR\n")
    print(whole.to_string(float_format="{:,.0f}".format))
    print("\nBest products\n")
    formats = {"revenue": "{:,.0f}".format, "discount": "{:.1%}".format}
    print(products.head(5).rename_axis(None).to_string(formatters=formats))


def draw(months, products):
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left"})
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1.5, 1))
    figure.subplots_adjust(wspace=0.34)

    bottom = 0
    for region, colour in COLOURS.items():
        values = months[region] / 1000
        left.bar(months.index, values, bottom=bottom, color=colour, label=region, width=0.75)
        bottom = bottom + values
    left.set_title("Revenue by month, thousand EUR", weight="bold")
    left.legend(ncols=4, frameon=False, loc="upper left", bbox_to_anchor=(0, 1.0))
    left.set_ylim(0, bottom.max() * 1.15)
    left.grid(axis="y", alpha=0.25)
    left.set_axisbelow(True)

    top = products.revenue.iloc[::-1] / 1000
    bars = right.barh(top.index, top, color="#97a3b6", height=0.7)
    bars[-1].set_color("#4269d0")
    right.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
    right.set_title("Revenue by product, thousand EUR", weight="bold")
    right.spines["bottom"].set_visible(False)
    right.set_xticks([])
    right.tick_params(axis="y", length=0)
    plt.show()


if __name__ == "__main__":
    sales = read()
    months, products = by_month(sales), by_product(sales)
    show(months, products)
    draw(months, products)
