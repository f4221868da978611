package httpapi

import (
	_ "embed" // the document
	"net/http"
)

//go:generate go run posthorn/internal/contract/generate openapi.yaml openapi.json

// openAPI is the OpenAPI document, made of openapi.yaml: nothing is read or
// converted while the program starts.
//
//go:embed openapi.json
var openAPI []byte

// OpenAPI returns the OpenAPI 3.1 document as it is served, JSON, which is not
// to be changed.
func OpenAPI() []byte { return openAPI }

func (a *API) openapi(w http.ResponseWriter, r *http.Request) error {
	a.write(w, r, http.StatusOK, "application/json", openAPI)
	return nil
}
