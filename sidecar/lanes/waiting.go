package lanes

import "time"

// waiting is a min-heap of lanes by the time at which their head is due; of two due at once the one that came first.
// Lanes know their place in it, so that a partition that is stopped can take its own out.
type waiting []*lane

func (a *lane) before(b *lane) bool {
	if c := a.due.Compare(b.due); c != 0 {
		return c < 0
	}
	return a.turn < b.turn
}

// top is the lane that is due first, nil when none waits.
func (w waiting) top() *lane {
	if len(w) == 0 {
		return nil
	}
	return w[0]
}

func (w *waiting) push(ln *lane) {
	ln.place = len(*w)
	*w = append(*w, ln)
	w.up(ln.place)
}

func (w *waiting) remove(ln *lane) {
	h := *w
	i, last := ln.place, len(h)-1
	h[i] = h[last]
	h[i].place = i
	h[last] = nil
	*w = h[:last]
	if i < last && !w.down(i) {
		w.up(i)
	}
}

func (w waiting) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !w[i].before(w[parent]) {
			return
		}
		w.swap(i, parent)
		i = parent
	}
}

func (w waiting) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child >= len(w) {
			return moved
		}
		if right := child + 1; right < len(w) && w[right].before(w[child]) {
			child = right
		}
		if !w[child].before(w[i]) {
			return moved
		}
		w.swap(i, child)
		i, moved = child, true
	}
}

func (w waiting) swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = i, j
}

// hurry makes every lane due when it is told for its head, unless that is later.
func (w waiting) hurry(sooner func(*Item, time.Time) time.Time) {
	for _, ln := range w {
		if at := sooner(ln.head, ln.due); ln.due.After(at) {
			ln.due = at
		}
	}
	for i := len(w)/2 - 1; i >= 0; i-- { // the order has changed, also among those that are now due at once
		w.down(i)
	}
}
