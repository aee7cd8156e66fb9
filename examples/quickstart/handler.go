package main

import (
	"encoding/json"
	"net/http"
	"sync"
)

// order is what the quickstart produces, keyed by customer.
type order struct {
	Customer string `json:"customer"`
	Number   int    `json:"number"` // counts the customer's orders from 1
}

// handler is the user's service: it takes orders and is not always well.
type handler struct {
	complete chan struct{} // closed when every order has been taken

	mu        sync.Mutex
	failures  map[order]int
	taken     map[string]int // customer: number of the last order taken
	disorder  map[string]bool
	delivered int
	retried   int
}

func newHandler() *handler {
	return &handler{complete: make(chan struct{}), failures: map[order]int{}, taken: map[string]int{}, disorder: map[string]bool{}}
}

// ServeHTTP is all that a handler needs: 2xx when the record is done, 503 when it should come again.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var o order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		http.Error(w, "no order", http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	// A repeat of the last order would be a duplicate, which at-least-once delivery allows; anything else out of turn is disorder.
	if last := h.taken[o.Customer]; o.Number != last+1 && o.Number != last {
		h.disorder[o.Customer] = true
	}
	if h.failures[o] < troubles(o) {
		h.failures[o]++
		h.retried++
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if o.Number > h.taken[o.Customer] {
		h.taken[o.Customer] = o.Number
		h.delivered++
		if h.delivered == orders {
			close(h.complete)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// troubles is how often an order is refused before it is taken.
func troubles(o order) int {
	switch {
	case o.Customer == "customer-07":
		return 2
	case o.Number%10 == 3:
		return 1
	}
	return 0
}

func (h *handler) progress() (delivered, retried int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.delivered, h.retried
}

// ordered counts the customers whose orders came in turn, each of them.
func (h *handler) ordered() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for customer, last := range h.taken {
		if last == orders/customers && !h.disorder[customer] {
			n++
		}
	}
	return n
}
