package probe

import (
	"errors"
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/helper/errutil"
	"github.com/hashicorp/vault/sdk/logical"
)

// say answers in each way that a plugin can.
func say(what string) (*logical.Response, error) {
	response := &logical.Response{Data: map[string]any{"said": what}}
	switch what {
	case "nothing":
		return nil, nil
	case "lease":
		response.Secret = &logical.Secret{
			LeaseOptions: logical.LeaseOptions{TTL: time.Minute, MaxTTL: 2 * time.Minute, Renewable: true},
			InternalData: map[string]any{"id": 7},
		}
	case "raw":
		response.Data = map[string]any{
			logical.HTTPStatusCode:  http.StatusTeapot,
			logical.HTTPContentType: "text/tea",
			logical.HTTPRawBody:     []byte("short and stout"),
		}
	case "redirect":
		return &logical.Response{Redirect: "https://example.com/elsewhere"}, nil
	case "warning":
		response.AddWarning("mind the step")
	case "headers":
		response.Headers = map[string][]string{"X-Allowed": {"yes"}, "Set-Cookie": {"no"}}
	default:
		return nil, logical.ErrUnsupportedPath
	}
	return response, nil
}

// fail declines in each way. The first are the contract's, the rest are how else Go plugins put it. Only the type, the text and
// the code of an error cross to the host, so a well-known error that is wrapped in words is no longer known.
func fail(how string) (*logical.Response, error) {
	why := "because of " + how
	switch how {
	case "denied":
		return nil, logical.CodedError(http.StatusForbidden, why)
	case "invalid":
		return logical.ErrorResponse(why), logical.ErrInvalidRequest
	case "operation":
		return nil, logical.ErrUnsupportedOperation
	case "not-found":
		return nil, logical.CodedError(http.StatusNotFound, why)
	case "conflict":
		return nil, logical.CodedError(http.StatusConflict, why)
	case "unavailable":
		return nil, logical.CodedError(http.StatusServiceUnavailable, why)
	case "internal":
		return nil, errors.New(why)

	case "response":
		return logical.ErrorResponse(why), nil
	case "bad-request":
		return nil, &logical.StatusBadRequest{Err: why}
	case "coded":
		return nil, logical.CodedError(http.StatusTeapot, why)
	case "user":
		return nil, errutil.UserError{Err: why}
	case "internal-typed":
		return nil, errutil.InternalError{Err: why}
	case "permission":
		return nil, logical.ErrPermissionDenied
	case "unrecoverable":
		return nil, logical.ErrUnrecoverable
	}
	return nil, logical.ErrUnsupportedPath
}
