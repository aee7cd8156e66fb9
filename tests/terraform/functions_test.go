package terraform

import "testing"

var functionsToApply, renderedFunctions = object{}, object{}

func checkFunctionCalls(*testing.T, map[string][]object) {}
