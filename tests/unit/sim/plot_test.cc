#include "sim/plot.h"

#include <gtest/gtest.h>

namespace shoal::sim {
namespace {

size_t Count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != text.npos;
       at = text.find(what, at + 1))
    ++n;
  return n;
}

TEST(Plot, StepsAreRound) {
  EXPECT_DOUBLE_EQ(NiceStep(100, 5), 20);
  EXPECT_DOUBLE_EQ(NiceStep(5000, 6), 1000);
  EXPECT_DOUBLE_EQ(NiceStep(7, 6), 2);
  EXPECT_DOUBLE_EQ(NiceStep(0.06, 6), 0.01);
}

TEST(Plot, StackedAreasStandOnEachOther) {
  Chart chart;
  chart.title = "a & <b>";
  chart.stacked = true;
  chart.times = {0, 10};
  chart.series = {{"below", {100, 0}}, {"above", {0, 100}}};
  chart.marks = {{5, "half"}};
  const std::string svg = ToSvg(chart);
  EXPECT_EQ(Count(svg, "<polygon"), 2u);
  EXPECT_EQ(Count(svg, "<polyline"), 0u);
  EXPECT_NE(svg.find("a &amp; &lt;b>"), svg.npos);
  EXPECT_NE(svg.find(">half<"), svg.npos);
  // The axis ends at 100: the first area begins at the top (y 50), and the
  // second one is there at the end, over an area of height 0.
  EXPECT_NE(svg.find("points=\"80.0,50.0 940.0,370.0 "), svg.npos) << svg;
  EXPECT_NE(svg.find("points=\"80.0,50.0 940.0,50.0 940.0,370.0 80.0,50.0 "),
            svg.npos)
      << svg;
}

TEST(Plot, LinesAndMissingValues) {
  Chart chart;
  chart.times = {0, 1, 2};
  chart.series = {{"short", {4}}};
  const std::string svg = ToSvg(chart);
  EXPECT_EQ(Count(svg, "<polyline"), 1u);
  EXPECT_NE(svg.find("940.0,370.0"), svg.npos) << svg;  // 0 at the end
}

TEST(Plot, WithoutPointsTheAxesStandAlone) {
  const std::string svg = ToSvg(Chart{});
  EXPECT_EQ(svg.rfind("<svg", 0), 0u);
  EXPECT_EQ(svg.substr(svg.size() - 7), "</svg>\n");
  EXPECT_EQ(svg.find("nan"), svg.npos);
  EXPECT_EQ(svg.find("inf"), svg.npos);
}

}  // namespace
}  // namespace shoal::sim
