// The names of Services: NAME.NAMESPACE.svc.cluster.local, from a watch on the API server. Only what tests need: A records of
// Services with a cluster IP; everything else below cluster.local does not exist.
//
//	dns LISTEN SERVER CA_FILE TOKEN
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

type event struct {
	Type   string
	Object struct {
		Metadata struct{ Name, Namespace string }
		Spec     struct{ ClusterIP string }
	}
}

var (
	lock  sync.RWMutex
	names = map[string]net.IP{}
)

// A watch without a version begins with everything that there is.
func watch(client *http.Client, server, token string) error {
	request, err := http.NewRequest("GET", server+"/api/v1/services?watch=1&timeoutSeconds=300", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	events := json.NewDecoder(answer.Body)
	for {
		var e event
		if err := events.Decode(&e); err != nil {
			return err
		}
		m := e.Object.Metadata
		name := strings.ToLower(m.Name + "." + m.Namespace + ".svc.cluster.local")
		ip := net.ParseIP(e.Object.Spec.ClusterIP).To4()
		lock.Lock()
		if e.Type == "DELETED" || ip == nil {
			delete(names, name)
		} else {
			names[name] = ip
		}
		lock.Unlock()
	}
}

// The answer to one query, or nil when it is none.
func answer(query []byte) []byte {
	if len(query) < 17 || query[2]&0xf8 != 0 || binary.BigEndian.Uint16(query[4:]) != 1 {
		return nil
	}
	var labels []string
	at := 12
	for query[at] != 0 {
		end := at + 1 + int(query[at])
		if query[at] > 63 || end+5 > len(query) {
			return nil
		}
		labels = append(labels, strings.ToLower(string(query[at+1:end])))
		at = end
	}
	end := at + 5
	kind := binary.BigEndian.Uint16(query[at+1:])
	lock.RLock()
	ip, known := names[strings.Join(labels, ".")]
	lock.RUnlock()
	out := append([]byte{}, query[:end]...)
	out[2], out[3] = 0x84|query[2]&1, 0x80 // an authoritative answer
	for i := 6; i < 12; i++ {
		out[i] = 0
	}
	switch {
	case !known:
		out[3] |= 3
	case kind == 1:
		out[7] = 1
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4)
		out = append(out, ip...)
	}
	return out
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: dns LISTEN SERVER CA_FILE TOKEN")
	}
	pem, err := os.ReadFile(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	go func() {
		for {
			log.Print(watch(client, os.Args[2], os.Args[4]))
			time.Sleep(200 * time.Millisecond)
		}
	}()
	socket, err := net.ListenPacket("udp4", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	buffer := make([]byte, 512)
	for {
		length, from, err := socket.ReadFrom(buffer)
		if err != nil {
			log.Fatal(err)
		}
		if out := answer(buffer[:length]); out != nil {
			socket.WriteTo(out, from)
		}
	}
}
