package envconfig

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Problem is one mistake in the environment.
type Problem struct {
	Variable string // the variable to change, or to set
	Text     string // what is wrong; what is expected
}

// String gives the problem as one line.
func (p Problem) String() string { return p.Variable + ": " + p.Text }

// Errors holds every mistake of one environment, sorted by variable. It is the error that Parse returns; the process exits with 2.
type Errors struct {
	Problems []Problem
	// Misspelt are the names that are no mistake by themselves but look like one of ours that is not set, which may be what a problem is about.
	Misspelt []Note
}

// Error lists the problems, one a line, and after them what may be misspelt.
func (e *Errors) Error() string {
	var lines []string
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	for _, n := range e.Misspelt {
		lines = append(lines, "warning: "+n.String())
	}
	return strings.Join(lines, "\n")
}

// Note is something worth one log line at start: an option without effect, or a choice that is likely to surprise.
type Note struct {
	Level    slog.Level // Info or Warn
	Variable string
	Text     string
}

// String gives the note as one line.
func (n Note) String() string { return n.Variable + ": " + n.Text }

// report collects what a parse finds.
type report struct {
	problems []Problem
	misspelt []Note
	notes    []Note
}

func (r *report) fail(variable, format string, args ...any) {
	r.problems = append(r.problems, Problem{Variable: variable, Text: fmt.Sprintf(format, args...)})
}

func (r *report) note(level slog.Level, variable, format string, args ...any) {
	r.notes = append(r.notes, Note{Level: level, Variable: variable, Text: fmt.Sprintf(format, args...)})
}

// err gives the problems in order and without repeats, nil when there are none.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Variable, b.Variable), strings.Compare(a.Text, b.Text))
	})
	slices.SortFunc(r.misspelt, func(a, b Note) int { return strings.Compare(a.Variable, b.Variable) })
	return &Errors{Problems: slices.Compact(r.problems), Misspelt: r.misspelt}
}

// sortedNotes gives warnings first, then by variable.
func (r *report) sortedNotes() []Note {
	slices.SortStableFunc(r.notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(b.Level, a.Level), strings.Compare(a.Variable, b.Variable), strings.Compare(a.Text, b.Text))
	})
	return slices.Compact(r.notes)
}
