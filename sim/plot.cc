#include "sim/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace shoal::sim {
namespace {

constexpr double kWidth = 860, kHeight = 320, kLeft = 80, kTop = 50;
constexpr double kRight = 170;
constexpr const char* kColours[] = {"#4477aa", "#ee6677", "#228833", "#ccbb44",
                                    "#66ccee", "#aa3377", "#bbbbbb", "#333333"};

std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else
      out += c;
  }
  return out;
}

class Drawing {
 public:
  explicit Drawing(const Chart& chart) : chart_(chart) {
    if (!chart.times.empty()) end_ = std::max(chart.times.back(), 1e-9);
    for (size_t i = 0; i < chart.times.size(); ++i) {
      double sum = 0;
      for (const Series& series : chart.series) {
        const double value = At(series, i);
        sum = chart.stacked ? sum + value : std::max(sum, value);
      }
      highest_ = std::max(highest_, sum);
    }
    if (highest_ <= 0) highest_ = 1;
    const double step = NiceStep(highest_, 6);
    highest_ = std::ceil(highest_ / step) * step;
  }

  std::string Draw() {
    out_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" "
        "height=\"100%\" fill=\"white\"/>\n<text x=\"{}\" y=\"22\" "
        "font-size=\"15\">{}</text>\n",
        kLeft + kWidth + kRight, kTop + kHeight + 45, kLeft,
        Escape(chart_.title));
    Axes();
    chart_.stacked ? Areas() : Lines();
    Marks();
    Legend();
    return out_ + "</svg>\n";
  }

 private:
  static double At(const Series& series, size_t i) {
    return i < series.values.size() ? series.values[i] : 0;
  }
  double X(double time) const { return kLeft + time / end_ * kWidth; }
  double Y(double value) const {
    return kTop + kHeight - value / highest_ * kHeight;
  }

  void Axes() {
    const double up = NiceStep(highest_, 6);
    for (double value = 0; value <= highest_ * 1.0001; value += up)
      out_ += fmt::format(
          "<line x1=\"{0}\" y1=\"{1:.1f}\" x2=\"{2}\" y2=\"{1:.1f}\" "
          "stroke=\"#dddddd\"/><text x=\"{3}\" y=\"{4:.1f}\" "
          "text-anchor=\"end\">{5:g}</text>\n",
          kLeft, Y(value), kLeft + kWidth, kLeft - 6, Y(value) + 4, value);
    const double along = NiceStep(end_, 10);
    for (double time = 0; time <= end_ * 1.0001; time += along)
      out_ += fmt::format(
          "<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:g} s</text>\n",
          X(time), kTop + kHeight + 18, time);
    out_ += fmt::format("<text x=\"6\" y=\"{}\">{}</text>\n", kTop - 8,
                        Escape(chart_.unit));
  }

  void Areas() {
    std::vector<double> below(chart_.times.size(), 0);
    for (size_t s = 0; s < chart_.series.size(); ++s) {
      std::string top;
      std::string bottom;
      for (size_t i = 0; i < chart_.times.size(); ++i) {
        const double x = X(chart_.times[i]);
        bottom = fmt::format("{:.1f},{:.1f} ", x, Y(below[i])) + bottom;
        below[i] += At(chart_.series[s], i);
        top += fmt::format("{:.1f},{:.1f} ", x, Y(below[i]));
      }
      out_ += fmt::format("<polygon points=\"{}{}\" fill=\"{}\"/>\n", top,
                          bottom, Colour(s));
    }
  }

  void Lines() {
    for (size_t s = 0; s < chart_.series.size(); ++s) {
      std::string points;
      for (size_t i = 0; i < chart_.times.size(); ++i)
        points += fmt::format("{:.1f},{:.1f} ", X(chart_.times[i]),
                              Y(At(chart_.series[s], i)));
      out_ += fmt::format(
          "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" "
          "stroke-width=\"2\"/>\n",
          points, Colour(s));
    }
  }

  void Marks() {
    for (const Mark& mark : chart_.marks)
      out_ += fmt::format(
          "<line x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\" "
          "stroke=\"#333333\" stroke-dasharray=\"4 3\"/><text x=\"{3:.1f}\" "
          "y=\"{4}\">{5}</text>\n",
          X(mark.time), kTop - 6, kTop + kHeight, X(mark.time) + 3, kTop - 2,
          Escape(mark.text));
  }

  void Legend() {
    double y = kTop + 10;
    for (size_t s = chart_.series.size(); s-- > 0; y += 20)
      out_ += fmt::format(
          "<rect x=\"{0}\" y=\"{1}\" width=\"12\" height=\"12\" "
          "fill=\"{2}\"/><text x=\"{3}\" y=\"{4}\">{5}</text>\n",
          kLeft + kWidth + 16, y, Colour(s), kLeft + kWidth + 34, y + 11,
          Escape(chart_.series[s].name));
  }

  static const char* Colour(size_t s) { return kColours[s % 8]; }

  const Chart& chart_;
  double end_ = 1;
  double highest_ = 0;
  std::string out_;
};

}  // namespace

double NiceStep(double most, int steps) {
  const double raw = most / steps;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= raw * 0.9999) return factor * power;
  return 10 * power;
}

std::string ToSvg(const Chart& chart) { return Drawing(chart).Draw(); }

}  // namespace shoal::sim
