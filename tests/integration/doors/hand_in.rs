//! What a real service refuses when a slot is handed in, beside what is no recipe.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::served::{Place, recipe, scenario};

#[tokio::test]
async fn a_video_larger_than_the_node_is_planned_for_is_refused_with_what_would_be_taken() {
    let place = Place::new(&scenario("20ms", ""));
    let service = place.serve();
    service.ready().await;
    let sizes = [("528x512", false), ("2048x2048", false), ("512x512", true), ("640x400", true)];
    for (number, (resolution, is_taken)) in (1..).zip(sizes) {
        let mut recipe = recipe(number);
        recipe["slot_params"]["resolution"] = json!(resolution);
        let answer = service.put(&recipe).await;
        let (status, problem) = (answer.status(), answer.json::<Value>().await.unwrap());
        if is_taken {
            assert_eq!(status, StatusCode::ACCEPTED, "{problem:#}");
            continue;
        }
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
        assert_eq!(problem["errors"][0]["path"], "slot_params.resolution", "{problem:#}");
        let said = problem["detail"].as_str().unwrap();
        assert!(said.contains(resolution) && said.contains("at most 262144, as 512x512 has"), "{said}");
    }
}
