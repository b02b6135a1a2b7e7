// The console draws its charts as SVG: this stands in for a library of 200 KB that every page would read first.
