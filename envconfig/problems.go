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
type Errors struct{ Problems []Problem }

// Error lists the problems, one a line.
func (e *Errors) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
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
	return &Errors{Problems: slices.Compact(r.problems)}
}

// sortedNotes gives warnings first, then by variable.
func (r *report) sortedNotes() []Note {
	slices.SortStableFunc(r.notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(b.Level, a.Level), strings.Compare(a.Variable, b.Variable), strings.Compare(a.Text, b.Text))
	})
	return slices.Compact(r.notes)
}
