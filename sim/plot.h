// Small charts as SVG: time to the right, stacked areas or lines upwards.
#ifndef SHOAL_SIM_PLOT_H_
#define SHOAL_SIM_PLOT_H_

#include <string>
#include <vector>

namespace shoal::sim {

struct Series {
  std::string name;
  std::vector<double> values;  // one for each point of Chart::times
};

struct Mark {
  double time = 0;
  std::string text;
};

struct Chart {
  std::string title;
  std::string unit;           // of the values, beside the axis
  std::vector<double> times;  // seconds, growing
  std::vector<Series> series;
  std::vector<Mark> marks;  // upright lines with a word
  bool stacked = false;
};

// A whole SVG document. Text is escaped; without points the axes stand alone.
std::string ToSvg(const Chart& chart);

// 1, 2 or 5 times a power of ten: a step with which `most` is reached in at
// most `steps`.
double NiceStep(double most, int steps);

}  // namespace shoal::sim

#endif  // SHOAL_SIM_PLOT_H_
